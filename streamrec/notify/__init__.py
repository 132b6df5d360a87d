"""Who is told of events: dispatcher, outbox worker, webhooks, MQTT."""
