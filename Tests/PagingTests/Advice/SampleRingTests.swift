import Glibc
import Testing

@testable import Paging

/// Samples pass the ring in order, none is lost unless it is counted, and a full ring keeps nobody waiting.
@Suite struct SampleRingTests {
    /// What a sample says comes out again, at the limits too.
    @Test(arguments: [Sample.Kind.hit, .miss, .zeroes, .write, .ahead, .drop])
    func samplesKeepWhatTheySay(kind: Sample.Kind) {
        for (image, group) in [(0, 0), (65535, 0), (3, 1 << 44 - 1), (65535, 1 << 44 - 1)] as [(UInt16, UInt64)] {
            let sample = Sample(kind, image: image, group: group)
            #expect(sample.raw != 0)
            #expect(sample.kind == kind && sample.key == PageKey(image: image, page: group))
        }
    }

    /// The ring takes as many as it has room for, drops and counts the rest, and goes on after that.
    @Test func aFullRingDropsAndCounts() {
        let rig = RingRig(capacity: 256)
        for round in 0..<3 as Range<UInt64> {
            for group in 0..<300 as Range<UInt64> { rig.ring.push(Sample(.hit, image: 1, group: group)) }
            #expect(rig.ring.dropped == 44 * (round + 1))
            for group in 0..<256 as Range<UInt64> { #expect(rig.ring.pop()?.key.page == group) }
            #expect(rig.ring.pop() == nil)
        }
    }

    /// Many writers and one reader: all samples are read once or counted as dropped, and those of a writer in order.
    @Test(arguments: [256, 4096]) func manyWriters(capacity: Int) {
        let rig = RingRig(capacity: capacity)
        let (ring, writers, each) = (rig.ring, 4, 20_000 as UInt64)
        let threads = (0..<writers).map { writer in
            Thread.start {
                for group in 0..<each { ring.push(Sample(.write, image: UInt16(writer), group: group)) }
            }
        }
        var last = [Int64](repeating: -1, count: writers)
        var (received, disordered) = (0 as UInt64, 0)
        func read() {
            while let sample = ring.pop() {
                received += 1
                let writer = Int(sample.key.image)
                if Int64(sample.key.page) <= last[writer] { disordered += 1 }
                last[writer] = Int64(sample.key.page)
            }
        }
        for _ in 0..<2000 { read() }
        for thread in threads { pthread_join(thread, nil) }
        read()
        #expect(disordered == 0)
        #expect(received + ring.dropped == UInt64(writers) * each)
        #expect(received >= UInt64(capacity))
    }
}

/// A ring in memory of its own.
private final class RingRig {
    let ring: SampleRing
    private let memory: UnsafeMutableRawPointer

    init(capacity: Int) {
        let bytes = capacity * 8 + 4096
        memory = .allocate(byteCount: bytes, alignment: 64)
        memset(memory, 0, bytes)
        var carver = Carver(at: memory)
        ring = SampleRing(capacity: capacity, &carver)
        ring.prepare()
    }

    deinit { memory.deallocate() }
}
