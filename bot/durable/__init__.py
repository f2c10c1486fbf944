"""The engine and what it remembers: durable workflows, runs as jobs, messages, notes, money; work of dead processes."""
