"""Notifications of events: dispatcher, outbox worker, webhooks, MQTT."""
