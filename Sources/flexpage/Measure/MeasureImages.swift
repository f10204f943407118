import ArgumentParser
import Paging

/// `flexpage measure images`: the cost of a 4 KiB miss in a full memory that several images share.
///
/// The images take turns, so that all of them hold the same share, and each miss takes a frame from one of them. Reads
/// of the image itself cost nothing here. All numbers of images alternate within one run. The medians are printed.
struct MeasureImages: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "images",
        abstract: "Measure a 4 KiB miss in a full memory with 1, 8 and 256 images, without the reading of the image.")

    @Option(help: "MiB of memory.")
    var memory = 256

    @Option(parsing: .upToNextOption, help: "Numbers of images.")
    var images = [1, 8, 256]

    @Option(help: "Misses per turn.")
    var misses = 200_000

    @Option(help: "Turns with each number of images.")
    var turns = 9

    func validate() throws {
        guard memory >= 1, misses >= 1, turns >= 1, images.allSatisfy({ $0 >= 1 }) else {
            throw ValidationError("--memory, --images, --misses and --turns must be at least 1")
        }
    }

    func run() throws {
        let shared = try images.map { try SharedMemory(images: $0, bytes: memory << 20) }
        var times = images.map { _ in [Double]() }
        for _ in 0..<turns {
            for index in shared.indices { times[index].append(try turn(shared[index])) }
        }
        print("a 4 KiB miss in \(memory) MiB, ns of processor time: median of \(turns) turns (min to max)")
        for (count, times) in zip(images, times.map { $0.sorted() }) {
            func whole(_ time: Double) -> String { time.text(digits: 0) }
            print("\(count) images  \(whole(times[turns / 2])) (\(whole(times[0])) to \(whole(times[turns - 1])))")
        }
    }

    /// Nanoseconds per miss.
    private func turn(_ shared: SharedMemory) throws -> Double {
        let start = ThreadClock.nanoseconds
        for _ in 0..<misses { try shared.miss() }
        return Double(ThreadClock.nanoseconds - start) / Double(misses)
    }
}
