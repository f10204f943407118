import ArgumentParser
import Glibc
import Paging

/// `flexpage measure hit`: the cost of a 4 KiB hit, compared with memcpy and with pread from the page cache.
///
/// All of them copy random pages from the same amount of memory, alternating within one run. The medians are printed.
/// Threads share only what is measured.
struct MeasureHit: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "hit",
        abstract: "Measure a random 4 KiB hit against memcpy and against pread from the page cache.")

    @Option(help: "MiB of memory from which pages are copied.")
    var size = 1024

    @Option(help: "Copies per thread and turn.")
    var copies = 200_000

    @Option(help: "Turns of each kind of copy.")
    var turns = 9

    @Option(help: "A directory with room for a file of --size, on a filesystem with a page cache.")
    var directory = "/var/tmp"

    @Option(help: ArgumentHelp("Measure hits in such a state file too. Repeat it for more.", valueName: "new-file"))
    var state: [String] = []

    func validate() throws {
        guard size >= 1, copies >= 1, turns >= 1 else {
            throw ValidationError("--size, --copies and --turns must be at least 1")
        }
    }

    func run() throws {
        let bytes = size << 20
        let file = try CachedFile(bytes: bytes, directory: directory)
        let hits = try ResidentImage(bytes: bytes)
        let plain = PlainMemory(bytes: bytes)
        print(
            "random 4 KiB copies from \(size) MiB, ns of processor time each: median of \(turns) turns (min to max)"
        )
        var kinds: [@Sendable (Int, UnsafeMutableRawPointer) -> Void] = [
            { plain.copy(page: $0, to: $1) }, { hits.copy(page: $0, to: $1) }, { file.copy(page: $0, to: $1) },
        ]
        for path in state {
            let kept = try ResidentImage(bytes: bytes, state: path)
            kinds.append { kept.copy(page: $0, to: $1) }
        }
        for threads in [1, 2] {
            var times = kinds.map { _ in [Double]() }
            for _ in 0..<turns {
                for (kind, copy) in kinds.enumerated() { times[kind].append(turn(threads, copy)) }
            }
            report(threads, times.map { $0.sorted() })
        }
    }

    /// - Parameter times: Sorted ones, of memcpy, hit, pread, and a hit in each state file.
    private func report(_ threads: Int, _ times: [[Double]]) {
        func cell(_ times: [Double]) -> String {
            "\(rounded(times[times.count / 2])) (\(rounded(times[0])) to \(rounded(times[times.count - 1])))"
        }
        let medians = times.map { $0[turns / 2] }
        let name = threads == 1 ? "1 thread " : "\(threads) threads"
        print("\(name)  memcpy \(cell(times[0]))  hit \(cell(times[1]))  pread \(cell(times[2]))")
        print(
            "           hit - memcpy \(rounded(medians[1] - medians[0]))  "
                + "pread / hit \(rounded2(medians[2] / medians[1]))")
        for (path, kind) in zip(state, 3...) {
            print(
                "           hit in \(path) \(cell(times[kind]))  minus hit \(rounded(medians[kind] - medians[1]))")
        }
    }

    /// Nanoseconds per copy if `threads` threads make `copies` each.
    private func turn(
        _ threads: Int, _ copy: @escaping @Sendable (Int, UnsafeMutableRawPointer) -> Void
    ) -> Double {
        let pages = size << 8
        let copies = copies
        let times = Threads.run(threads) { number in
            let buffer = UnsafeMutableRawPointer.allocate(byteCount: 4096, alignment: 4096)
            defer { buffer.deallocate() }
            var random = UInt64(number + 1) &* 0x9E37_79B9_7F4A_7C15
            let start = ThreadClock.nanoseconds
            for _ in 0..<copies {
                // xorshift64 (Marsaglia, 2003), which is cheap compared with a copy.
                random ^= random << 13
                random ^= random >> 7
                random ^= random << 17
                copy(Int(truncatingIfNeeded: random >> 11) % pages, buffer)
            }
            return Double(ThreadClock.nanoseconds - start) / Double(copies)
        }
        return times.max()!
    }

    private func rounded(_ value: Double) -> String { "\(Int(value.rounded()))" }
    private func rounded2(_ value: Double) -> String { "\((value * 100).rounded() / 100)" }
}
