// The filter has no interface: nbdkit finds filter_init by name.
