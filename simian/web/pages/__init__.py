"""The dashboard: pages made on the server, that work without a script and come alive with one."""
