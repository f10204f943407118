import Glibc
import Synchronization
import TestSupport
import Testing

@testable import Paging

/// What is counted for each image adds up to what is counted for all.
@Suite struct ImageCountersTests {
    /// Three images do different things, one of them badly. Each counter of the whole is the sum of theirs.
    @Test func addUp() throws {
        let pages = try Pages(memory: Pages.minMemory, readahead: 0)
        let registry = ProviderRegistry(pages: pages)
        let images = (0..<3).map { index in
            HookedImage(size: 4 << 20) { call, pages in
                index == 2 && pages.contains(7) && (call == .populate || call == .writeOut) ? AccessError(EIO) : nil
            }
        }
        let providers = try images.enumerated().map { index, image in
            try registry.open(ImageIdentity(device: 1, inode: UInt64(index))) { image }
        }
        for (index, provider) in providers.enumerated() {
            let pager = Pager(provider)
            let scratch = TestBuffer(64 << 10)
            let buffer = scratch.buffer(64 << 10)
            for offset in stride(from: Int64(0), to: 2 << 20, by: 64 << 10) {
                _ = try? pager.read(into: buffer, at: offset)
            }
            for _ in 0...index + 1 { _ = try? pager.read(into: buffer, at: 1 << 20) }
            try pager.write(from: UnsafeRawBufferPointer(rebasing: buffer[..<8192]), at: 8192, forced: false)
            try provider.flush()
        }
        let page = TestBuffer(4096)
        let bad = UnsafeRawBufferPointer(page.buffer(4096))
        try Pager(providers[2]).write(from: bad, at: 7 * 4096, forced: false)
        #expect(throws: AccessError(EIO)) { try providers[2].flush() }
        let each = providers.map(\.counters)
        let all = pages.counters
        for path in [
            \Counters.hits, \.misses, \.zeroHits, \.fills, \.failedFills, \.recycles, \.writes, \.pagesWritten,
            \.failedWrites, \.waits, \.dirtyPages, \.pagesFilled, \.pagesReadAhead, \.pagesReadAheadInVain,
        ] {
            #expect(each.reduce(0) { $0 + $1[keyPath: path] } == all[keyPath: path], "\(path)")
        }
        #expect(each[1].hits > each[0].hits && each[0].hits > 0)
        #expect(each[0].pagesFilled >= 512, "all of it has been read")
        #expect(each[2].failedFills > 0 && each[0].failedFills == 0)
        #expect(each[2].failedWrites > 0 && each[1].failedWrites == 0)
        #expect(each[2].dirtyPages == 1 && each[0].recycles > 0 && each[0].pagesWritten == 2)
    }

    /// An image that gets the number of another one counts from 0.
    @Test func beginsAnew() throws {
        let pages = try Pages(memory: Pages.minMemory, readahead: 0)
        let registry = ProviderRegistry(pages: pages)
        let first = try registry.open(ImageIdentity(device: 1, inode: 1)) { NullImage(size: 1 << 20) }
        try Pager(first).populate(0..<1 << 19)
        #expect(first.counters.misses == 128)
        let number = first.image
        try registry.close(first)
        let second = try registry.open(ImageIdentity(device: 1, inode: 2)) { NullImage(size: 1 << 20) }
        #expect(second.image == number && second.counters.misses == 0)
        try registry.close(second)
    }

    /// Images are opened while another thread looks at the counts of all, as for warming and for metrics, and at an
    /// image that has been closed. The thread sanitizer reports what is neither atomic nor locked there.
    @Test func openedBesideLooks() throws {
        let pages = try Pages(memory: Pages.minMemory, readahead: 0)
        let registry = ProviderRegistry(pages: pages)
        let isOver = Atomic<Bool>(false)
        // All of them, because the thread sanitizer does not see that a last release comes after the others.
        let opened = Guarded<[Provider]>([])
        try Watchdog.guarding("images are opened beside looks") { () throws in
            let looker = Companion {
                var pace = WarmPace(pages.memory.metadata)
                while !isOver.load(ordering: .relaxed) {
                    _ = (pace.mayBegin(at: 0), pages.counters)
                    let provider = opened.withLock(\.last)
                    _ = (provider?.trouble, provider?.lost, provider?.counters)
                }
            }
            for inode in 0..<200 as Range<UInt64> {
                let provider = try registry.open(ImageIdentity(device: 1, inode: inode)) { NullImage(size: 1 << 20) }
                opened.withLock { $0.append(provider) }
                try registry.close(provider)
            }
            isOver.store(true, ordering: .relaxed)
            looker.join()
        }
        pages.checkInvariants(isQuiet: true)
    }
}
