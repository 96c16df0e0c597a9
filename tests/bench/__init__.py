"""What paas costs on top of the tools it stands on, measured side by side.

`measure` says what a row is and how it is measured, `rows` which rows there are, `site` what they are measured on,
`machine` where. A new row is a scenario more in `rows.ALL`, nothing else.
"""
