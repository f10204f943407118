// libnl, with which `flexpage attach` talks to the kernel's NBD client. Package.swift finds it by pkg-config.
#include <linux/nbd-netlink.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/netlink.h>
