import Accessors
import CLinux
import Glibc

/// Serves the control socket: lets clients in, and gives each a thread.
///
///     init ── a thread accepts ──▶ serving ── stop ──▶ ended
///
/// Thread rules: `stop` once, on any thread. It does not wait for an order that a disk holds up.
final class ControlServer: Sendable {
    /// Clients at a time. The next one is refused with a sentence.
    static let maxClients = 8

    private struct State {
        var clients: [ObjectIdentifier: ControlClient] = [:]
        var hasStopped = false
        var isAccepting = true
    }

    private let socket: ControlSocket
    private let answer: @Sendable (String, ControlClient) -> ControlAnswer
    private let state = Guarded(State())

    /// - Parameter answer: Carries out the order of a line. It is called on any thread, and by several at once.
    /// - Returns: Nil if there can be no more threads.
    init?(_ socket: ControlSocket, _ answer: @escaping @Sendable (String, ControlClient) -> ControlAnswer) {
        self.socket = socket
        self.answer = answer
        guard DetachedThread.run({ [self] in accept() }) else { return nil }
    }

    /// Lets nobody in any more, and ends the clients.
    func stop() {
        let clients = state.withLock { state in
            state.hasStopped = true
            return Array(state.clients.values)
        }
        shutdown(socket.number, Int32(SHUT_RDWR))
        for client in clients { client.end() }
        // Orders end soon, unless a disk holds them up. Then they keep alive what they need.
        for _ in 0..<100 where state.withLock({ !$0.clients.isEmpty }) { usleep(10_000) }
        // Its descriptor's number may be another one's after this.
        while state.withLock({ $0.isAccepting }) { usleep(1000) }
    }

    private func accept() {
        while !state.withLock({ $0.hasStopped }) {
            let number = linux_accept(socket.number)
            guard number >= 0 else {
                // As long as descriptors or memory are scarce, clients wait in the socket's queue.
                usleep(100_000)
                continue
            }
            let client = ControlClient(number)
            if !enter(client) { client.refuse("\(ControlServer.maxClients) clients are connected already") }
        }
        state.withLock { $0.isAccepting = false }
    }

    /// - Returns: False if there are too many.
    private func enter(_ client: ControlClient) -> Bool {
        let key = ObjectIdentifier(client)
        let isIn = state.withLock { state in
            guard state.clients.count < ControlServer.maxClients, !state.hasStopped else { return false }
            state.clients[key] = client
            return true
        }
        guard isIn else { return false }
        let hasBegun = DetachedThread.run { [self] in
            client.serve { self.answer($0, client).line }
            leave(client)
        }
        if !hasBegun {
            leave(client)
            client.refuse("the server cannot start a thread for another client")
        }
        return true
    }

    private func leave(_ client: ControlClient) {
        state.withLock { $0.clients[ObjectIdentifier(client)] = nil }
    }
}
