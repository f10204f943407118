import Accessors
import Glibc
import Paging
import Testing

@testable import Adapter

/// The server asks nothing of an image but what `ImageSource` has.
@Suite struct ServingTests {
    private static let pattern = (0..<50_001).map { UInt8(truncatingIfNeeded: $0 * 7) }

    private func serving(_ source: ScriptedSource) throws -> Serving {
        var settings = Settings()
        try settings.set("memory", "2M")
        return try Serving(keeping: export(source), settings, log: { _ in }, gate: {})
    }

    private func export(_ source: ScriptedSource) -> Export {
        Export(image: source, name: "disk", prefix: "file=", isReadOnly: false, cache: .writeback, reserve: nil)
    }

    /// An image that is no file, from open to close. A reader finds its bytes. What a writer has written is on it and
    /// durable before other writers are let in.
    @Test func anySource() throws {
        let source = ScriptedSource(Self.pattern)
        let serving = try serving(source)
        #expect(source.takeCalls() == ["privilegesDropped"])
        let served = try serving.open(export(source))
        let pager = Pager(served.provider, writeThrough: false)
        _ = served.beginReading()
        var read = [UInt8](repeating: 0, count: 50_001)
        try read.withUnsafeMutableBytes { try pager.read(into: $0, at: 0) }
        #expect(read == Self.pattern)
        #expect(try served.beginWriting() > 0, "what was read may have changed, and is forgotten")
        try [UInt8](repeating: 255, count: 5000).withUnsafeBytes { try pager.write(from: $0, at: 4000, forced: false) }
        #expect(serving.endWriting(served) == nil)
        #expect(source.takeCalls() == ["beginReading", "beginWriting", "makeDurable", "endWriting"])
        #expect(source.bytes[4000..<9000].allSatisfy { $0 == 255 })
        serving.close(served)
        #expect(serving.end().losses.isEmpty)
    }

    /// At the end an image with clients is noted for the next server, after its last sync.
    @Test func theLastStamp() throws {
        let source = ScriptedSource(Self.pattern)
        let serving = try serving(source)
        let served = try serving.open(export(source))
        _ = try served.beginWriting()
        let pager = Pager(served.provider, writeThrough: false)
        try [UInt8](repeating: 255, count: 5000).withUnsafeBytes { try pager.write(from: $0, at: 4000, forced: false) }
        #expect(serving.end().losses.isEmpty)
        let calls = source.takeCalls()
        let (sync, stamp) = (calls.lastIndex(of: "makeDurable"), calls.lastIndex(of: "noteLastStamp"))
        #expect(try #require(sync) < (try #require(stamp)), "\(calls)")
    }

    /// A read that is for no client any more, as of what is read ahead, hangs at the end. There is nothing to write,
    /// and the end gives up after its time, and says which image it was. After that everything may still be in use.
    @Test func anEndBesideAReadThatHangs() throws {
        let source = ScriptedSource(Self.pattern)
        var settings = Settings()
        try settings.set("memory", "2M")
        try settings.set("end-time", "1")
        let serving = try Serving(keeping: export(source), settings, log: { _ in }, gate: {})
        let served = try serving.open(export(source))
        let pager = Pager(served.provider, writeThrough: false)
        try pager.populate(0..<4096)
        #expect(!serving.isWaitingForDisk && serving.losses.isEmpty)
        source.setHanging(true)
        let hasEnded = Guarded(false)
        #expect(
            DetachedThread.run {
                try? pager.populate(20_000..<24_096)
                hasEnded.withLock { $0 = true }
            })
        while !serving.isWaitingForDisk { usleep(1000) }
        let (losses, hasGivenUp) = serving.end()
        #expect(hasGivenUp)
        #expect(
            losses.map(\.text)
                == ["requests to memory are not done: its disk did nothing for 1 second (end-time=)"])
        source.setHanging(false)
        while !hasEnded.withLock({ $0 }) { usleep(1000) }
    }

    /// A writer that the image refuses is refused in the image's words, and does not count as a writer.
    @Test func refusedWriter() throws {
        let source = ScriptedSource(Self.pattern)
        let serving = try serving(source)
        let served = try serving.open(export(source))
        source.setTaken(true)
        let error = #expect(throws: ScriptedSource.Refusal.self) { try served.beginWriting() }
        #expect(error.map { "\($0)" } == "memory: another process writes it")
        #expect(source.takeCalls() == ["privilegesDropped", "beginWriting"])
        source.setTaken(false)
        _ = try served.beginWriting()
        #expect(serving.endWriting(served) == nil)
        serving.close(served)
        #expect(serving.end().losses.isEmpty)
    }
}
