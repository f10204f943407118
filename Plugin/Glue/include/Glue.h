// Glue has no interface: nbdkit finds plugin_init by name.
