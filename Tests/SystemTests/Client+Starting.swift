import CLibNBD
import Glibc

/// Clients that start their server.
extension Client {
    /// Starts `arguments` with its standard input and output as the connection: nbdkit -s.
    static func starting(_ arguments: [String]) throws -> Client {
        try starting(arguments, nbd_connect_command)
    }

    /// Starts `arguments` with a listening socket, as systemd does.
    static func activating(_ arguments: [String]) throws -> Client {
        try starting(arguments, nbd_connect_systemd_socket_activation)
    }

    private typealias Connect = (OpaquePointer?, UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?) -> Int32

    private static func starting(_ arguments: [String], _ connect: Connect) throws -> Client {
        let client = try Client()
        var argv: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) }
        argv.append(nil)
        defer { for argument in argv { free(argument) } }
        // The threads that run tests have signals blocked, which the server would inherit.
        var none = sigset_t()
        var before = sigset_t()
        sigemptyset(&none)
        pthread_sigmask(SIG_SETMASK, &none, &before)
        defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
        try check(connect(client.handle, &argv))
        return client
    }

    /// Sends a signal to the server that it has started.
    func signal(_ number: Int32) throws {
        try Client.check(nbd_kill_subprocess(handle, number))
    }
}
