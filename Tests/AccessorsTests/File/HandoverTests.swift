import Glibc
import Paging
import SystemPackage
import TestSupport
import Testing

@testable import Accessors

@Suite("What others change while nobody here can write")
struct HandoverTests {
    private let scratch = Scratch()

    /// Lets a writer in. True if what is cached must be forgotten for it.
    private func forgets(_ image: ImageFile) throws -> Bool {
        var forgets = false
        try image.beginWriting { forgets = true }
        return forgets
    }

    /// The same for a reader.
    private func forgetsForReader(_ image: ImageFile) -> Bool {
        var forgets = false
        image.beginReading { forgets = true }
        return forgets
    }

    /// A writer comes, writes a page, and leaves.
    private func takeTurn(_ image: ImageFile, _ byte: UInt8 = 1) throws {
        try image.beginWriting()
        try image.writeOut(PageMemory([UInt8](repeating: byte, count: 4096)), at: 0)
        try image.makeDurable()
        image.endWriting()
    }

    /// The cache is forgotten for the very first writer. It is not for a writer that follows another, if nobody has
    /// changed the image, nor for one that comes while another is there.
    @Test func nobodyElse() throws {
        let image = try ImageFile(path: scratch.file(pattern(8192)))
        #expect(try forgets(image))
        #expect(try !forgets(image))
        image.endWriting()
        image.endWriting()
        for _ in 0..<3 {
            try takeTurn(image)
            #expect(try !forgets(image))
            image.endWriting()
        }
    }

    /// Whatever another process does to the image in its turn, at once after ours, is noticed each time.
    @Test(arguments: ["write", "buffered write", "hole", "shorter", "longer"])
    func another(change: String) throws {
        let path = scratch.file(pattern(65536))
        let (one, other) = (try ImageFile(path: path), try ImageFile(path: path, direct: .off))
        for _ in 0..<20 {
            try takeTurn(one)
            try other.beginWriting()
            switch change {
            case "write": try one.writeOut(PageMemory([UInt8](repeating: 2, count: 4096)), at: 4096)
            case "buffered write": try other.writeOut(PageMemory([UInt8](repeating: 2, count: 4096)), at: 4096)
            case "hole": try other.zero(0..<4096, mayTrim: true, onlyIfFast: false)
            case "shorter": truncate(path.string, 65536 - 4096)
            default: truncate(path.string, 65536 + 4096)
            }
            other.endWriting()
            #expect(try forgets(one))
            one.endWriting()
            truncate(path.string, 65536)
        }
    }

    /// This also holds if the filesystem keeps whole seconds, though no time may have moved.
    @Test(.enabled(if: Machine.canMountExt4, "no ext4 on a loop device here"))
    func wholeSeconds() throws {
        let mount = try Mount(ext4: 16 << 20, making: ["-I", "128", "-b", "4096"])
        let path = mount.scratch.file(pattern(65536))
        let stamp = try #require(try ImageFile(path: path).stamp)
        #expect(!stamp.isFine)
        let (one, other) = (try ImageFile(path: path), try ImageFile(path: path))
        for number in 0..<20 {
            try takeTurn(one, UInt8(number))
            try takeTurn(other, UInt8(number + 1))
            #expect(try forgets(one))
            one.endWriting()
        }
    }

    /// This also holds on a filesystem of which nothing is known.
    @Test(.enabled(if: Machine.canMount("ramfs"), "ramfs cannot be mounted")) func unknownFilesystems() throws {
        let mount = try Mount("ramfs")
        let image = try ImageFile(path: mount.scratch.file(pattern(8192)))
        for _ in 0..<3 {
            #expect(try forgets(image))
            image.endWriting()
        }
    }

    /// The stamp that a writer leaves had time to settle. Nobody waits for a stamp that has settled already.
    @Test func settling() throws {
        let path = scratch.file(pattern(8192))
        let image = try ImageFile(path: path)
        let settling = try #require(image.stamp).settlingTime
        usleep(UInt32(settling) * 1000)
        var began = Patience.now
        for _ in 0..<50 {
            try image.beginWriting()
            image.endWriting()
        }
        #expect(Patience.now - began < 50 * settling, "a writer that changes nothing waits for nothing")
        try image.beginWriting()
        try image.writeOut(PageMemory([UInt8](repeating: 1, count: 4096)), at: 0)
        began = Patience.now
        image.endWriting()
        #expect(Patience.now - began >= settling - 1)
    }

    /// A device that tells nothing counts as changed for writers, and not for readers.
    @Test(.enabled(if: Machine.canLoop, "no loop devices here"))
    func devices() throws {
        let image = try ImageFile(path: try LoopDevice(size: 1 << 20).node)
        for _ in 0..<3 {
            #expect(!forgetsForReader(image))
            #expect(try forgets(image))
            #expect(!forgetsForReader(image))
            image.endWriting()
        }
    }

    /// After a change the cache is forgotten for each reader until the change had time to settle; then no more.
    @Test func readers() throws {
        let path = scratch.file(pattern(8192))
        let other = try ImageFile(path: path)
        let image = try ImageFile(path: path, readOnly: true)
        for _ in 0..<3 {
            try takeTurn(other)
            #expect(forgetsForReader(image))
            usleep(25_000)
            #expect(forgetsForReader(image))
            for _ in 0..<3 { #expect(!forgetsForReader(image)) }
        }
    }

    /// While another process has the lock, the cache is forgotten for every new reader: a write that has already moved
    /// the stamp may be under way. It is not for readers beside our own writers.
    @Test func readersBesideAWriter() throws {
        let path = scratch.file(pattern(8192))
        let (image, other) = (try ImageFile(path: path), try ImageFile(path: path))
        try other.beginWriting()
        for _ in 0..<3 {
            usleep(25_000)
            #expect(forgetsForReader(image))
        }
        other.endWriting()
        #expect(forgetsForReader(image))
        #expect(!forgetsForReader(image))
        try image.beginWriting()
        try image.writeOut(PageMemory([UInt8](repeating: 1, count: 4096)), at: 0)
        #expect(!forgetsForReader(image))
        image.endWriting()
        #expect(!forgetsForReader(image), "what our own writers left is cached as it is")
    }

    /// What readers have seen convinces no writer: only what a writer here left does.
    @Test func readersProveNothing() throws {
        let path = scratch.file(pattern(8192))
        let (image, other) = (try ImageFile(path: path), try ImageFile(path: path))
        try takeTurn(image)
        try takeTurn(other)
        for _ in 0..<2 {
            _ = forgetsForReader(image)
            usleep(25_000)
        }
        #expect(!forgetsForReader(image))
        #expect(try forgets(image))
        image.endWriting()
    }

    /// Nobody is let in before the first writer has forgotten what it must.
    @Test func theSecondWaits() throws {
        let image = try ImageFile(path: scratch.file(pattern(8192)))
        let order = Order()
        let first = Worker {
            try image.beginWriting {
                order.note("forgetting")
                usleep(50_000)
                order.note("forgotten")
            }
        }
        first.start()
        while order.notes.isEmpty { usleep(100) }
        let others = [Worker { try image.beginWriting { order.note("again") } }, Worker { image.beginReading {} }]
        for other in others { other.start() }
        for other in others { try other.join() }
        order.note("let in")
        try first.join()
        #expect(order.notes == ["forgetting", "forgotten", "let in"])
    }

    /// What happened, in order.
    private final class Order: @unchecked Sendable {
        private var mutex = pthread_mutex_t()
        private var noted: [String] = []

        func note(_ what: String) {
            pthread_mutex_lock(&mutex)
            noted.append(what)
            pthread_mutex_unlock(&mutex)
        }

        var notes: [String] {
            pthread_mutex_lock(&mutex)
            defer { pthread_mutex_unlock(&mutex) }
            return noted
        }
    }
}

extension ImageFile {
    fileprivate var stamp: ImageStamp? { ImageStamp(of: opened.buffered.number, isBlockDevice: isBlockDevice) }
}
