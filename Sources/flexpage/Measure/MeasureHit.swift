import ArgumentParser
import Glibc
import Paging

/// `flexpage measure hit`: the cost of a 4 KiB hit, compared with memcpy and with pread from the page cache.
///
/// All three copy random pages from the same amount of memory, alternating within one run. The medians are printed.
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
        for threads in [1, 2] {
            var times: [[Double]] = [[], [], []]
            for _ in 0..<turns {
                times[0].append(turn(threads) { plain.copy(page: $0, to: $1) })
                times[1].append(turn(threads) { hits.copy(page: $0, to: $1) })
                times[2].append(turn(threads) { file.copy(page: $0, to: $1) })
            }
            report(threads, memcpy: times[0].sorted(), hit: times[1].sorted(), pread: times[2].sorted())
        }
    }

    private func report(_ threads: Int, memcpy: [Double], hit: [Double], pread: [Double]) {
        func cell(_ times: [Double]) -> String {
            "\(rounded(times[times.count / 2])) (\(rounded(times[0])) to \(rounded(times[times.count - 1])))"
        }
        let median = (memcpy[turns / 2], hit[turns / 2], pread[turns / 2])
        let name = threads == 1 ? "1 thread " : "\(threads) threads"
        print("\(name)  memcpy \(cell(memcpy))  hit \(cell(hit))  pread \(cell(pread))")
        print("           hit - memcpy \(rounded(median.1 - median.0))  pread / hit \(rounded2(median.2 / median.1))")
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
