"""What comes in, acted upon: webhooks, commands in comments, and what the forge knows although no webhook came."""
