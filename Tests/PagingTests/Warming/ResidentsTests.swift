import TestSupport
import Testing

@testable import Paging

/// What is in memory, in the queue's order.
@Suite struct ResidentsTests {
    private func rig(memory: Int = 4 << 20) throws -> PagingRig<CountedImage> {
        try PagingRig(memory: memory, image: CountedImage(size: 1 << 40))
    }

    private func populate(_ rig: PagingRig<CountedImage>, _ pages: Range<UInt64>) throws {
        for page in pages { try rig.pager.populate(BasePage.offset(of: page)..<BasePage.offset(of: page + 1)) }
    }

    private func residents(_ rig: PagingRig<CountedImage>) throws -> [ResidentRun] {
        Array(try #require(rig.registry.residents(of: rig.provider)))
    }

    /// Main before probation, more hits before fewer, the newer half before the older one, and by place in each of
    /// them.
    @Test func order() throws {
        let rig = try rig()
        try populate(rig, 0..<40)
        for page in [30, 31, 8, 20] as [UInt64] { try rig.keep(page, hits: page == 20 ? 3 : 1) }
        try rig.renew(0)
        let found = try residents(rig)
        // Main, from its head: 30, 31, 8, 20. Probation: 1 to 39 without those, and 0.
        #expect(
            found.map { "\($0.warmth): \($0.pages)" } == [
                "15: 20..<21", "11: 8..<9", "10: 30..<32", "1: 0..<1", "1: 21..<30", "1: 32..<40", "0: 1..<8",
                "0: 9..<20",
            ])
        try rig.end()
    }

    /// Large flexpages are whole runs, and neighbours that are equally warm are one.
    @Test func runsAreJoined() throws {
        let rig = try rig()
        try rig.pager.populate(64 << 12..<96 << 12)
        try rig.pager.populate(96 << 12..<100 << 12)
        let found = try residents(rig)
        #expect(found.reduce(0) { $0 + $1.pages.count } == 36)
        #expect(found.count <= 2)
        try rig.end()
    }

    /// A walk in pieces finds everything that stays, although others go, come and move between its steps.
    @Test(arguments: Seeds.of(plain: 10, optimised: 20, sanitized: 2)) func aWalkAmongChanges(seed: UInt64) throws {
        let queues = try QueueRig(memory: 16 << 20)
        var random = SplitMix64(seed: seed)
        var ids: [FlexpageID] = []
        for page in 0..<1500 as Range<UInt64> { ids.append(queues.append(page)) }
        for index in 0..<300 {
            #expect(queues.queue.remove(ids[index]))
            queues.queue.putBack(ids[index], to: .main)
        }
        // They stay: they are in use, and no recycler takes them.
        let staying = Set((0..<1500).filter { _ in random.once(in: 2) })
        for index in staying { queues.set(PageState.pin, ids[index]) }
        var walk = try #require(queues.queue.beginWalk(ofImage: 0))
        #expect(queues.queue.beginWalk(ofImage: 0) == nil)
        var found: Set<Int> = []
        var next: UInt64 = 1500
        while queues.queue.step(&walk, { found.insert(Int($0.page)) }) {
            for _ in 0..<random.length(upTo: 60) {
                switch random.length(upTo: 4) {
                case 1: _ = queues.recycle()
                case 2:
                    queues.append(next)
                    next += 1
                default: queues.hit(ids[Int(random.place(below: 1500))])
                }
            }
        }
        queues.queue.end(walk)
        // What is in use is passed over by a recycler, and goes to the tail. It may have been seen before.
        #expect(staying.isSubset(of: found), "\(staying.subtracting(found).sorted())")
        #expect(queues.queue.checkInvariants() > 0)
        for index in staying { queues.clear(PageState.pin, ids[index]) }
    }

    /// Nothing is found of an image that is gone, nor of the one that has got its number.
    @Test func anImageThatIsGone() throws {
        let rig = try ManyImagesRig(2, frames: 2000)
        try rig.use(0..<100, ofImage: 0)
        try rig.use(0..<50, ofImage: 1)
        #expect(rig.registry.residents(of: rig.providers[0])?.reduce(0) { $0 + $1.pages.count } == 100)
        #expect(rig.registry.residents(of: rig.providers[1])?.reduce(0) { $0 + $1.pages.count } == 50)
        #expect(rig.registry.providers.count == 2)
        var walk = try #require(rig.pages.queue.beginWalk(ofImage: rig.providers[0].image))
        try rig.registry.close(rig.providers[0])
        let other = try rig.registry.open(ImageIdentity(device: 1, inode: 7)) { CountedImage(size: 1 << 30) }
        #expect(other.image == rig.providers[0].image)
        try Pager(other).populate(0..<4096)
        #expect(!rig.pages.queue.step(&walk) { _ in Issue.record("a page of another image") })
        rig.pages.queue.end(walk)
        #expect(rig.registry.residents(of: rig.providers[0]) == nil)
        try rig.registry.close(other)
        try rig.registry.close(rig.providers[1])
    }
}
