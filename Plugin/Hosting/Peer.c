#include "Peer.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

static void internet_name(int family, const void *address, in_port_t port, char name[peer_size])
{
    char text[INET6_ADDRSTRLEN] = "?";
    inet_ntop(family, address, text, sizeof text);
    snprintf(name, peer_size, "%s port %d", text, ntohs(port));
}

void peer_name(char name[peer_size])
{
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof address;
    if (nbdkit_peer_name((struct sockaddr *)&address, &length) == -1)
        address.ss_family = AF_UNSPEC;
    const struct sockaddr_in *four = (const struct sockaddr_in *)&address;
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&address;
    switch (address.ss_family) {
    case AF_INET: internet_name(AF_INET, &four->sin_addr, four->sin_port, name); break;
    case AF_INET6: internet_name(AF_INET6, &six->sin6_addr, six->sin6_port, name); break;
    case AF_UNIX:
        snprintf(name, peer_size, "process %" PRIi64 " of user %" PRIi64, nbdkit_peer_pid(), nbdkit_peer_uid());
        break;
    default: snprintf(name, peer_size, "at an unknown address");
    }
}
