// The glue offers nothing to include: nbdkit finds plugin_init by its name.
