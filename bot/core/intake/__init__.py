"""What comes in, as typed values: webhooks, commands in comments, reviews, messages. Untrusted text is parsed here."""
