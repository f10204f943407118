import Glibc
import Synchronization
import Testing

@testable import Paging

/// The Writeback notes for the next server what idle images look like.
@Suite struct StampingTests {
    /// An image that wants to be noted as long as its test says so.
    private final class StampedImage: ForgetfulImage, Sendable {
        let size: Int64 = 1 << 20
        let isDue = Atomic<Bool>(false)
        let isBusy = Atomic<Bool>(false)
        let questions = Atomic<Int>(0)
        let stamps = Atomic<Int>(0)

        func populate(_ pieces: UnsafeBufferPointer<iovec>, at offset: Int64) throws(AccessError) {}

        var isStampDue: Bool {
            questions.add(1, ordering: .relaxed)
            return isDue.load(ordering: .relaxed)
        }

        func noteStamp() -> Bool {
            stamps.add(1, ordering: .relaxed)
            return !isBusy.load(ordering: .relaxed)
        }
    }

    /// Nothing is dirty, unsynced or left behind: the image is noted as long as that is due, at most once a second.
    /// Then it is left alone.
    @Test func anIdleImage() throws {
        let image = StampedImage()
        let rig = try KeptRig(frames: 256, images: [image])
        let begin = MonotonicClock.milliseconds
        image.isDue.store(true, ordering: .relaxed)
        let writeback = try Writeback(pages: rig.pages, registry: rig.registry, dirtyAge: 20)
        Watchdog.guarding("an idle image is noted") {
            Thread.wait { image.stamps.load(ordering: .relaxed) == 3 }
            #expect(MonotonicClock.milliseconds - begin >= 2000)
            image.isDue.store(false, ordering: .relaxed)
            waitForQuestions(300, image)
            let count = image.stamps.load(ordering: .relaxed)
            waitForQuestions(300, image)
            #expect(image.stamps.load(ordering: .relaxed) == count)
            writeback.stop()
        }
        try rig.close()
    }

    /// An image that could not be noted is tried at each look of the watch, far more often than once a second.
    @Test func aBusyImage() throws {
        let image = StampedImage()
        let rig = try KeptRig(frames: 256, images: [image])
        image.isBusy.store(true, ordering: .relaxed)
        image.isDue.store(true, ordering: .relaxed)
        let begin = MonotonicClock.milliseconds
        let writeback = try Writeback(pages: rig.pages, registry: rig.registry, dirtyAge: 20)
        Watchdog.guarding("a busy image is tried") {
            waitForQuestions(300, image)
            writeback.stop()
        }
        let seconds = (MonotonicClock.milliseconds - begin) / 1000
        #expect(image.stamps.load(ordering: .relaxed) > seconds + 5)
        try rig.close()
    }

    /// Without a state file nobody asks.
    @Test func nothingIsKept() throws {
        let image = StampedImage()
        image.isDue.store(true, ordering: .relaxed)
        let pages = try Pages(memory: Pages.minMemory, readahead: 0)
        let registry = ProviderRegistry(pages: pages)
        let provider = try registry.open(ImageIdentity(device: 1, inode: 1)) { image }
        let writeback = try Writeback(pages: pages, registry: registry, dirtyAge: 4)
        usleep(100_000)
        writeback.stop()
        #expect(image.questions.load(ordering: .relaxed) == 0 && image.stamps.load(ordering: .relaxed) == 0)
        try registry.close(provider)
    }

    private func waitForQuestions(_ count: Int, _ image: StampedImage) {
        let begin = image.questions.load(ordering: .relaxed)
        Thread.wait { image.questions.load(ordering: .relaxed) - begin >= count }
    }
}
