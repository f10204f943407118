import Glibc

/// A thread that does a piece of work and returns its result. Signals can be sent to it.
final class Worker<Result>: @unchecked Sendable {
    private let body: () throws -> Result
    private var thread = pthread_t()
    private var result: Swift.Result<Result, any Error>?

    init(_ body: @escaping () throws -> Result) { self.body = body }

    func start() {
        // A handler that restarts no call: calls return EINTR if they can.
        var action = sigaction()
        action.__sigaction_handler.sa_handler = { _ in }
        sigaction(SIGUSR2, &action, nil)
        let context = Unmanaged.passRetained(self).toOpaque()
        let answer = pthread_create(&thread, nil, { run($0!) }, context)
        precondition(answer == 0, "pthread_create: \(answer)")
    }

    func interrupt() { pthread_kill(thread, SIGUSR2) }

    func join() throws -> Result {
        pthread_join(thread, nil)
        return try result!.get()
    }

    fileprivate func work() { result = .init { try body() } }
}

private protocol Working: AnyObject { func work() }

extension Worker: Working {}

private func run(_ context: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer? {
    let worker = Unmanaged<AnyObject>.fromOpaque(context).takeRetainedValue()
    (worker as! any Working).work()
    return nil
}
