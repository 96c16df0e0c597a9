"""What the files of an app say: Procfile, app.json, .aptible.yml."""
