import Glibc
import Paging
import TestSupport

/// One thread of the read model test: random reads of random ranges, each checked byte by byte.
struct Reader {
    let scenario: ReadScenario
    let pages: Pages
    let images: [PatternImage]
    let pagers: [Pager]
    let verdict: Verdict
    private var random: SplitMix64
    private let scratch: TestBuffer
    /// The end of the last request in each image.
    private var ends: [Int64]

    init(
        _ number: Int, _ scenario: ReadScenario, pages: Pages, images: [PatternImage], pagers: [Pager],
        _ verdict: Verdict
    ) {
        self.scenario = scenario
        self.pages = pages
        self.images = images
        self.pagers = pagers
        self.verdict = verdict
        random = SplitMix64(seed: scenario.seed, stream: UInt64(number + 1))
        scratch = TestBuffer(scenario.maxRequest)
        ends = Array(repeating: 0, count: images.count)
    }

    mutating func run() {
        for request in 0..<scenario.requestsPerThread {
            let index = random.pick(0...images.count - 1)
            let continues = scenario.continuesOnceIn > 0 && !random.once(in: scenario.continuesOnceIn + 1)
            let (offset, count) = continues ? nextRange(index) : range(in: images[index])
            ends[index] = offset + Int64(count)
            let error = random.once(in: 6) ? populate(offset, count, index) : read(offset, count, index)
            judge(error, offset, count, index)
            if request % 16 == 0 {
                pagers[index].provider.setReserve(random.once(in: 2) ? nil : .share(random.once(in: 2) ? 0 : 0.4))
                pages.checkInvariants()
            }
        }
    }

    /// Half of all requests go to the same few offsets, so that threads meet.
    private mutating func range(in image: PatternImage) -> (Int64, Int) {
        let window = min(image.size, ReadScenario.window)
        let count = random.length(upTo: Int(min(window, Int64(scenario.maxRequest))))
        var offset = random.once(in: 2) ? random.place(below: 5) * window / 5 : random.place(below: window)
        offset = min(offset, window - Int64(count))
        let isAtTail = image.size > window && random.once(in: 4)
        return (isAtTail ? image.size - window + offset : offset, count)
    }

    /// A sequential reader's next request. It is small, so that many of them make a stream.
    private mutating func nextRange(_ index: Int) -> (Int64, Int) {
        let size = images[index].size
        let offset = ends[index] < size ? ends[index] : 0
        return (offset, random.length(upTo: Int(min(size - offset, 16 << 10))))
    }

    private mutating func read(_ offset: Int64, _ count: Int, _ index: Int) -> AccessError? {
        let buffer = scratch.buffer(count, skew: random.pick(0...63))
        do throws(AccessError) {
            try pagers[index].read(into: buffer, at: offset)
        } catch {
            return error
        }
        verdict.expect(
            scratch.holds(buffer, images[index].pattern, at: offset),
            "image \(index): wrong bytes in \(count) bytes at \(offset)")
        return nil
    }

    private func populate(_ offset: Int64, _ count: Int, _ index: Int) -> AccessError? {
        do throws(AccessError) {
            try pagers[index].populate(offset..<offset + Int64(count))
            return nil
        } catch {
            return error
        }
    }

    /// If failures do not come and go, exactly the requests that touch a bad page fail.
    private func judge(_ error: AccessError?, _ offset: Int64, _ count: Int, _ index: Int) {
        let faults = scenario.images[index].faults
        let asked = UInt64(offset) / 4096...UInt64(offset + Int64(count) - 1) / 4096
        let mustFail = faults.badPages.contains(where: asked.contains)
        let mayFail = mustFail || faults.readFailsOnceIn > 0
        if let error {
            verdict.expect(mayFail, "image \(index): \(count) bytes at \(offset) failed for others' bad pages")
            verdict.expect(error.code == EIO, "the error is \(error.code), not the Accessor's")
        } else {
            verdict.expect(!mustFail, "image \(index): \(count) bytes at \(offset) have a bad page and were read")
        }
    }
}
