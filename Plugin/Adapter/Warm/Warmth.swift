import Accessors
import Glibc
import Paging

/// Keeps the warm file (warm=): at the start it says what to read of each image, and every minute and at the end it is
/// told what is in memory then.
///
///     init ──▶ read ── begin ──▶ keeping, on a thread of its own ── end ──▶ the last list is written, or given up
///
/// An image is named as its export; the image of file=, which has every name, has none in the list. What the file has
/// of images that this server has not opened stays in it, and so does a list that has not been read to its end yet.
///
/// Thread rules: `opened` on any thread. The others one at a time, and `end` once.
final class Warmth: Sendable {
    private struct Image {
        let name: String
        /// Whether it has a list to be read.
        var isPending: Bool
        /// Whether what was read has been forgotten once, and is read again.
        var isAgain = false
    }

    private struct State {
        /// What is in the file, or should be.
        var list = WarmList()
        /// The images that have been opened, by the numbers of their openings.
        var images: [UInt64: Image] = [:]
        /// The last write has failed: the next failure is no news.
        var isFailing = false
        var hasEnded = false
    }

    /// As it was typed.
    private let path: String
    private let file: WarmFile
    private let clock: any WarmClock
    private let log: @Sendable (String) -> Void
    private let state: Guarded<State>
    /// What the person who starts the server should know.
    let warning: String?

    /// Seconds that the end waits for the last list.
    private static let patience = 10

    /// Reads the file. To be called while the process still has its privileges.
    /// - Throws: Why no list could be written.
    init(
        _ path: String, clock: any WarmClock = MinuteClock(), log: @escaping @Sendable (String) -> Void
    ) throws(ConfigurationError) {
        self.path = path
        self.clock = clock
        self.log = log
        let file = try ConfigurationError.prefixing("warm=\(path): ") { () throws(WarmError) in
            let file = try WarmFile(path)
            try file.check()
            return file
        }
        self.file = file
        do throws(WarmError) {
            state = Guarded(State(list: try file.read() ?? WarmList()))
            warning = nil
        } catch {
            state = Guarded(State())
            warning = "warm=\(path): \(error); the cache begins cold"
        }
    }

    /// The server serves, as the user that it runs as from now on.
    /// - Parameter registry: The images.
    /// - Throws: Why no list can be written.
    func begin(_ registry: ProviderRegistry) throws(ConfigurationError) {
        try ConfigurationError.prefixing("warm=\(path): ") { () throws(WarmError) in try file.check() }
        let hasBegun = DetachedThread.run { [self] in
            while clock.wait() { write(registry) }
            write(registry)
            state.withLock { $0.hasEnded = true }
        }
        guard !hasBegun else { return }
        state.withLock { $0.hasEnded = true }
        log("warm=\(path): the server cannot start a thread for it, and writes no list")
    }

    /// Writes the last list. Waits for a disk for ten seconds at most.
    func end() {
        clock.end()
        for _ in 0..<Warmth.patience * 500 where !state.withLock({ $0.hasEnded }) { usleep(2000) }
        if !state.withLock({ $0.hasEnded }) {
            log("warm=\(path): the last list is not written: its disk has not done it for \(Warmth.patience) seconds")
        }
    }

    // MARK: - Reading

    /// An image has been opened for a client that has been let in, or for good. If its list has not been read, that
    /// begins.
    /// - Parameter name: Empty if it is served under every name.
    /// - Parameter hasForgotten: What was read of the image has been forgotten, because others may have changed it. The
    ///   list is read again then, once.
    func opened(_ provider: Provider, name: String, hasForgotten: Bool = false) {
        let (isNew, entry, count) = state.withLock { state -> (Bool, WarmList.Entry?, Int) in
            let known = state.images[provider.opening]
            if let known {
                let isAgain = hasForgotten && !known.isAgain
                guard known.isPending, isAgain || !provider.isWarm && !provider.isWarming else {
                    // It is not read a second time, so from now on what is in memory counts.
                    if hasForgotten { state.images[provider.opening]?.isPending = false }
                    return (false, nil, 0)
                }
            }
            let name = known?.name ?? name
            let entry = state.list.entry(for: name)
            let isPending = entry?.size == provider.size
            state.images[provider.opening] = Image(
                name: name, isPending: isPending, isAgain: known?.isAgain == true || hasForgotten)
            return (true, entry, state.list.entries.count)
        }
        guard isNew else { return }
        guard let entry else {
            if name.isEmpty, count > 0 { log("warm=\(path): it has the lists of \(count) images; they are ignored") }
            return
        }
        guard entry.size == provider.size else { return tellOfSize(entry, provider.size, name) }
        provider.warm(entry.runs)
    }

    private func tellOfSize(_ entry: WarmList.Entry, _ size: Int64, _ name: String) {
        // The list of another export is no news.
        guard entry.name == name || entry.name.isEmpty || name.isEmpty else { return }
        let image = name.isEmpty ? "this one" : "export \(name.quoted())"
        log("warm=\(path): its list is of an image of \(entry.size) bytes, and \(image) has \(size); it is ignored")
    }

    // MARK: - Writing

    /// Forgets images that have no Provider any more. An image is known here after it has been opened.
    private func forgetClosed(_ registry: ProviderRegistry) {
        let known = state.withLock { Set($0.images.keys) }
        let gone = known.subtracting(registry.providers.map(\.opening))
        state.withLock { state in for opening in gone { state.images[opening] = nil } }
    }

    /// Writes what is in memory. A list that has not been read to its end stays as it is.
    private func write(_ registry: ProviderRegistry) {
        var list = state.withLock(\.list)
        let before = list
        for provider in registry.providers {
            guard let image = state.withLock({ $0.images[provider.opening] }), !image.isPending || provider.isWarm,
                let runs = registry.residents(of: provider)
            else { continue }
            // It may have been forgotten meanwhile, and is read again.
            guard !image.isPending || provider.isWarm else { continue }
            list.set(WarmList.Entry(name: image.name, size: provider.size, runs: runs))
        }
        forgetClosed(registry)
        guard list != before else { return }
        do throws(WarmError) {
            try file.write(list)
            state.withLock { state in
                state.list = list
                state.isFailing = false
            }
        } catch {
            let isNews = state.withLock { state in
                defer { state.isFailing = true }
                return !state.isFailing
            }
            if isNews { log("warm=\(path): the list is not written: \(error)") }
        }
    }
}
