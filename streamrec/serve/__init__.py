"""What leaves the process: the page, webhooks, MQTT. Each brings its own packages."""
