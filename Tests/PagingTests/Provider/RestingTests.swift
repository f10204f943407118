import Glibc
import Synchronization
import TestSupport
import Testing

@testable import Paging

/// Images that rest: their pages stay when the last client has left.
@Suite struct RestingTests {
    private typealias Disk = RestingImage.Disk

    private let pages: Pages
    private let registry: ProviderRegistry

    init() throws {
        pages = try Pages(memory: Pages.minMemory, readahead: 0)
        registry = ProviderRegistry(pages: pages, keepingUnused: true)
    }

    private func open(_ disk: RestingImage.Disk, _ inode: UInt64 = 1) throws(AccessError) -> Provider {
        try registry.open(ImageIdentity(device: 1, inode: inode)) { RestingImage(disk) }
    }

    /// Nothing is left when the images that rest are forgotten.
    private func end() {
        pages.checkInvariants(isQuiet: true)
        registry.forgetResting()
        pages.checkInvariants(isQuiet: true)
        #expect(pages.memory.freeFrames == pages.frames)
        #expect(pages.leaves.used == 0)
    }

    private func byte(_ provider: Provider, at offset: Int64 = 0) throws -> UInt8 {
        let scratch = TestBuffer(4096)
        let buffer = scratch.buffer(4096)
        try Pager(provider).read(into: buffer, at: offset)
        return buffer[0]
    }

    private func write(_ byte: UInt8, _ provider: Provider, at offset: Int64 = 0) throws(AccessError) {
        let scratch = TestBuffer(4096)
        let buffer = scratch.buffer(4096)
        memset(buffer.baseAddress!, Int32(byte), 4096)
        try Pager(provider).write(from: UnsafeRawBufferPointer(buffer), at: offset, forced: false)
    }

    /// An image in use is found without being opened anew, and has one more user. One that rests is not: it has to be
    /// opened.
    @Test func openIfInUse() throws {
        let disk = Disk(size: 64 << 10, filledWith: 7)
        let identity = ImageIdentity(device: 1, inode: 1)
        #expect(registry.openIfInUse(identity) == nil)
        let provider = try open(disk)
        #expect(registry.openIfInUse(identity) === provider)
        #expect(registry.openIfInUse(ImageIdentity(device: 1, inode: 2)) == nil)
        try registry.close(provider)
        #expect(registry.openIfInUse(identity) === provider, "it has a user left")
        try registry.close(provider)
        try registry.close(provider)
        #expect(registry.openIfInUse(identity) == nil, "it rests")
        end()
    }

    /// A client that comes back finds the pages, and nothing was held of the image meanwhile.
    @Test func pagesStay() throws {
        let disk = Disk(size: 64 << 10, filledWith: 7)
        let provider = try open(disk)
        try Pager(provider).populate(0..<disk.size)
        let reads = disk.reads.load(ordering: .relaxed)
        #expect(reads > 0)
        try registry.close(provider)
        #expect(disk.awake.load(ordering: .relaxed) == 0, "an image that rests holds nothing")
        let again = try open(disk)
        #expect(again === provider)
        #expect(disk.awake.load(ordering: .relaxed) == 1)
        #expect(try byte(again) == 7)
        #expect(disk.reads.load(ordering: .relaxed) == reads, "all of it was in memory")
        try registry.close(again)
        end()
    }

    /// What was written is on the image before it rests, and is there for the next client.
    @Test func whatWasWrittenIsOut() throws {
        let disk = Disk(size: 64 << 10, filledWith: 0)
        let provider = try open(disk)
        try write(9, provider, at: 8192)
        try registry.close(provider)
        #expect(disk.byte(at: 8192) == 9)
        let again = try open(disk)
        #expect(try byte(again, at: 8192) == 9)
        try registry.close(again)
        end()
    }

    /// An image that has changed while it rested shows no old page.
    @Test func aChangeMeanwhile() throws {
        let disk = Disk(size: 64 << 10, filledWith: 1)
        let provider = try open(disk)
        #expect(try byte(provider) == 1)
        try registry.close(provider)
        disk.change(to: 2)
        let again = try open(disk)
        #expect(again !== provider)
        #expect(try byte(again) == 2)
        #expect(disk.awake.load(ordering: .relaxed) == 1)
        try registry.close(again)
        end()
    }

    /// Another image with the same identity, as after a file was deleted and its number given to a new one.
    @Test func anotherImageOfThatIdentity() throws {
        let (disk, other) = (Disk(size: 64 << 10, filledWith: 1), Disk(size: 128 << 10, filledWith: 2))
        let provider = try open(disk)
        #expect(try byte(provider) == 1)
        try registry.close(provider)
        let again = try open(other)
        #expect(try byte(again) == 2 && again.size == 128 << 10)
        try registry.close(again)
        end()
    }

    /// Hundreds of images are opened in turn. The one that has rested for the longest time gives up its number.
    @Test func numbersAreGivenUp() throws {
        let disks = (0..<300).map { RestingImage.Disk(size: 8192, filledWith: UInt8($0 & 0xff)) }
        for round in 0..<2 {
            for (index, disk) in disks.enumerated() {
                let provider = try open(disk, UInt64(index))
                #expect(try byte(provider) == UInt8(index & 0xff), "round \(round)")
                try registry.close(provider)
            }
        }
        let images = pages.memory.metadata.images
        // The last ones are still warm, and the oldest of them has just lost its number.
        for index in (300 - images..<300).reversed() {
            let reads = disks[index].reads.load(ordering: .relaxed)
            let provider = try open(disks[index], UInt64(index))
            _ = try byte(provider)
            #expect(disks[index].reads.load(ordering: .relaxed) == reads, "image \(index)")
            try registry.close(provider)
        }
        end()
    }

    /// A Provider whose number another image has got may live on for a while. Its end changes nothing for that image.
    @Test func theEndOfAnEarlierImage() throws {
        let (disk, other) = (Disk(size: 64 << 10, filledWith: 1), Disk(size: 64 << 10, filledWith: 2))
        var earlier: Provider? = try open(disk, 1)
        let number = try #require(earlier).image
        try registry.close(try #require(earlier))
        registry.forgetResting()
        let provider = try open(other, 2)
        #expect(provider.image == number)
        earlier = nil
        try Watchdog.guarding("the end of an earlier image") { try write(3, provider) }
        #expect(provider.counters.allowedDirtyPages > 0)
        try registry.close(provider)
        #expect(other.byte(at: 0) == 3)
        end()
    }

    /// Only images in use count: ENFILE comes when all numbers are in use, and goes when one is given back.
    @Test func allNumbersInUse() throws {
        let disk = Disk(size: 8192, filledWith: 1)
        let images = pages.memory.metadata.images
        let providers = try (0..<images).map { try open(disk, UInt64($0)) }
        #expect(throws: AccessError(ENFILE)) { _ = try open(disk, 1000) }
        #expect(disk.awake.load(ordering: .relaxed) == images, "the one that was refused holds nothing")
        try registry.close(providers[3])
        let late = try open(disk, 1000)
        for provider in providers where provider !== providers[3] { try registry.close(provider) }
        try registry.close(late)
        end()
    }

    /// An image does not rest while data is not on it. It does when the Writeback has brought the data out.
    @Test func notBeforeAllIsOut() throws {
        let disk = Disk(size: 64 << 10, filledWith: 0)
        let provider = try open(disk)
        try write(5, provider)
        disk.setBroken(true)
        #expect(throws: AccessError(EIO)) { try registry.close(provider) }
        #expect(disk.awake.load(ordering: .relaxed) == 1)
        let again = try open(disk)
        #expect(again === provider && disk.awake.load(ordering: .relaxed) == 1, "it is in use as it was")
        #expect(throws: AccessError(EIO)) { try registry.close(again) }
        disk.setBroken(false)
        registry.closeIfLeft(provider)
        #expect(disk.awake.load(ordering: .relaxed) == 0)
        #expect(disk.byte(at: 0) == 5)
        end()
    }

    /// A last will does not touch an image that rests.
    @Test func theLastWillPassesItOver() throws {
        let disk = Disk(size: 64 << 10, filledWith: 0)
        let provider = try open(disk)
        try write(5, provider)
        try registry.close(provider)
        #expect(pages.will.bringOut().broughtOut == 0)
        let again = try open(disk)
        try write(6, again)
        #expect(pages.will.bringOut().broughtOut == 1)
        #expect(disk.byte(at: 0) == 6)
        try registry.close(again)
        end()
    }

    /// Clients come and go, on more images than there are numbers, while other programs change images that rest. All
    /// of them read what was written last, and no image is called while it rests.
    @Test(arguments: Seeds.of(plain: 10, optimised: 40, sanitized: 4)) func comeAndGo(seed: UInt64) throws {
        let images = pages.memory.metadata.images + 4
        let disks = (0..<images).map { _ in RestingImage.Disk(size: 16 << 10, filledWith: 0) }
        let contents = (0..<images).map { _ in Guarded(UInt8(0)) }
        let wrong = Atomic<Int>(0)
        Watchdog.guarding("clients come and go, seed \(seed)") {
            Thread.run(6) { number in
                var random = SplitMix64(seed: seed, stream: UInt64(number))
                for _ in 0..<150 {
                    let index = random.pick(0...images - 1)
                    // One client an image at a time, so that it knows what it must read.
                    contents[index].withLock { content in
                        if random.once(in: 6), disks[index].awake.load(ordering: .relaxed) == 0 {
                            content = UInt8(truncatingIfNeeded: random.next())
                            disks[index].change(to: content)
                        }
                        do {
                            let provider = try open(disks[index], UInt64(index))
                            if try byte(provider, at: 4096) != content { wrong.add(1, ordering: .relaxed) }
                            if random.once(in: 2) {
                                content = UInt8(truncatingIfNeeded: random.next())
                                for page in 0..<4 as Range<Int64> { try write(content, provider, at: page * 4096) }
                            }
                            try registry.close(provider)
                        } catch {
                            wrong.add(1, ordering: .relaxed)
                        }
                    }
                }
            }
        }
        #expect(wrong.load(ordering: .relaxed) == 0, "FLEXPAGE_SEED=\(seed)")
        end()
    }
}
