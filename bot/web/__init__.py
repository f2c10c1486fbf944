"""Flask: the webhook, health, the dashboard. Answers at once and leaves the work to the engine's queues."""
