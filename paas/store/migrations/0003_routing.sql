-- Which state of what the router depends on this is: another number, never used before, after each change of it.
-- Whoever reads another table for the routes adds its triggers; tests/unit/test_store_routing.py notices.
CREATE TABLE routing (version INTEGER NOT NULL) STRICT;
INSERT INTO routing VALUES (random());

CREATE TRIGGER routing_apps_added AFTER INSERT ON apps BEGIN UPDATE routing SET version = random(); END;
CREATE TRIGGER routing_apps_changed AFTER UPDATE ON apps BEGIN UPDATE routing SET version = random(); END;
CREATE TRIGGER routing_apps_removed AFTER DELETE ON apps BEGIN UPDATE routing SET version = random(); END;

CREATE TRIGGER routing_domains_added AFTER INSERT ON domains BEGIN UPDATE routing SET version = random(); END;
CREATE TRIGGER routing_domains_changed AFTER UPDATE ON domains BEGIN UPDATE routing SET version = random(); END;
CREATE TRIGGER routing_domains_removed AFTER DELETE ON domains BEGIN UPDATE routing SET version = random(); END;

CREATE TRIGGER routing_processes_added AFTER INSERT ON processes BEGIN UPDATE routing SET version = random(); END;
CREATE TRIGGER routing_processes_changed AFTER UPDATE ON processes BEGIN UPDATE routing SET version = random(); END;
CREATE TRIGGER routing_processes_removed AFTER DELETE ON processes BEGIN UPDATE routing SET version = random(); END;

CREATE TRIGGER routing_certificates_added AFTER INSERT ON certificates BEGIN UPDATE routing SET version = random(); END;
CREATE TRIGGER routing_certificates_changed AFTER UPDATE ON certificates BEGIN UPDATE routing SET version = random(); END;
CREATE TRIGGER routing_certificates_removed AFTER DELETE ON certificates BEGIN UPDATE routing SET version = random(); END;

-- Left out is what every deploy writes and no route depends on.
CREATE TRIGGER routing_properties_added AFTER INSERT ON properties
WHEN new.namespace NOT IN ('app', 'cron', 'git', 'registry')
BEGIN UPDATE routing SET version = random(); END;
CREATE TRIGGER routing_properties_changed AFTER UPDATE ON properties
WHEN new.namespace NOT IN ('app', 'cron', 'git', 'registry') AND new.value IS NOT old.value
BEGIN UPDATE routing SET version = random(); END;
CREATE TRIGGER routing_properties_removed AFTER DELETE ON properties
WHEN old.namespace NOT IN ('app', 'cron', 'git', 'registry')
BEGIN UPDATE routing SET version = random(); END;
