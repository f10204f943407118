import CAllocations
import Glibc
import Testing

@testable import Paging

/// The last will writes out what is dirty, whatever other threads hold, and nothing else.
@Suite struct LastWillTests {
    /// Dirty pages are on the image afterwards and synced, neighbours as one write, and no page's state has changed.
    @Test func allThatIsDirty() throws {
        let rig = try ObservedRig()
        try rig.write(7, count: 300 << 12, at: 100 << 12)
        for page in [900, 1100, 1101, 4095] as [UInt64] { try rig.dirty([page], 9) }
        let outcome = rig.pages.will.bringOut()
        #expect(outcome.broughtOut == 304)
        #expect(outcome.failed + outcome.passedOver + outcome.broken == 0)
        #expect((100..<400 as Range<UInt64>).allSatisfy { rig.image.holds(7, $0) })
        #expect(([900, 1100, 1101, 4095] as [UInt64]).allSatisfy { rig.image.holds(9, $0) })
        #expect(rig.image.written.count == 304)
        let runs = rig.image.calls.flatMap(\.runs)
        // The last bucket of a shard may hold a leaf, followed by one in the first bucket of the next.
        #expect(runs.count <= 2 * 6, "\(runs)")
        #expect(rig.image.syncs == 1)
        #expect(rig.isDirty(100) && !rig.isUnsynced(100))
        try rig.end()
        #expect(rig.image.written.count == 608, "dirty pages stay dirty for the threads that live on")
    }

    /// While a will is under way, another thread can say in the state that the process is alive. So the will's writes
    /// are not foreign to the next server.
    @Test func itIsAlive() throws {
        let rig = try KeptRig(frames: 256, images: [HookedImage(size: 1 << 20)])
        try rig.write(7, at: 0..<4096)
        var calls: [Bool] = []
        let outcome = rig.pages.will.bringOut { word in
            calls.append(word != nil)
            word?.pointee = 5
        }
        #expect(outcome.broughtOut == 1)
        #expect(calls == [true, false] && rig.kept.alive == 5)
        try rig.close()
        let plain = try ObservedRig()
        _ = plain.pages.will.bringOut { #expect($0 == nil, "nothing is kept") }
        try plain.end()
    }

    /// Clean pages stay where they are.
    @Test func nothingThatIsClean() throws {
        let rig = try ObservedRig()
        try rig.dirty(0..<40)
        try rig.pager.flush()
        let before = rig.image.written.count
        try rig.dirty([12], 3)
        #expect(rig.pages.will.bringOut().broughtOut == 1)
        #expect(rig.image.written.suffix(from: before) == [12])
        try rig.end()
    }

    /// Pages on their way out are written as well: the thread that writes them out may never return.
    @Test func whatIsGoingOut() throws {
        let rig = try ObservedRig()
        try rig.dirty([5, 6], 4)
        let gate = Gate()
        rig.image.hold(5, at: gate)
        let pager = rig.pager
        let writer = Companion { try? pager.flush() }
        Thread.wait { gate.arrivals == 1 }
        #expect(rig.isWriting(5) && !rig.isDirty(5))
        let will = rig.pages.will
        let heir = Companion { #expect(will.bringOut().broughtOut == 2) }
        Thread.wait { gate.arrivals == 2 }
        gate.open()
        writer.join()
        heir.join()
        #expect(rig.image.holds(4, 5) && rig.image.holds(4, 6))
        try rig.end()
    }

    /// A shard whose holder is stuck is passed over after a second. The cost of that is reported, and all other shards
    /// are written out.
    @Test func aShardThatIsHeld() throws {
        let rig = try ObservedRig()
        // Four pages in each of 16 chunks.
        let pages = (0..<64 as Range<UInt64>).map { $0 / 4 * 256 + $0 % 4 * 9 }
        try rig.dirty(pages, 5)
        let map = rig.pages.accessMap(ofImage: rig.provider.image)
        nonisolated(unsafe) let shard = map.shard(of: pages[20])
        let lost = Set(pages.filter { map.shard(of: $0) == shard })
        let outcome = bringOut(rig.pages.will, whileHeld: { shard.lock() }, until: { shard.unlock() })
        #expect(outcome.passedOver == lost.count && !lost.isEmpty)
        #expect(outcome.broughtOut == 64 - lost.count)
        #expect(Set(rig.image.written) == Set(pages).subtracting(lost))
        #expect(rig.image.syncs == 1)
        try rig.end()
    }

    /// A shard whose holder goes on is waited for.
    @Test func aShardThatIsBusy() throws {
        let rig = try ObservedRig()
        try rig.dirty(0..<512, 5)
        nonisolated(unsafe) let shard = rig.pages.accessMap(ofImage: rig.provider.image).shard(of: 300)
        let gate = Gate()
        let holder = Companion {
            shard.lock()
            gate.pass()
            usleep(20_000)
            shard.unlock()
        }
        Thread.wait { gate.arrivals == 1 }
        gate.open()
        #expect(rig.pages.will.bringOut().broughtOut == 512)
        holder.join()
        try rig.end()
    }

    /// The locks inside the shards', which a thread that faults may hold, keep nothing back.
    @Test(arguments: ["memory", "leaves", "queue", "waiters", "admission", "ledger", "writeback queue and registry"])
    func innerLocks(_ name: String) throws {
        let rig = try ObservedRig()
        try rig.dirty(0..<512, 5)
        let numbers = ["memory": 0, "leaves": 1, "queue": 2, "waiters": 3, "admission": 4]
        let lock = numbers[name].map { Lock(at: rig.pages.memory.metadata.mutexes + $0) } ?? rig.provider.ledger.lock
        let outcome: LastWill.Outcome
        if name.hasPrefix("writeback queue") {
            // A flush that leads a write-out, and the registry's lock in the hands of a thread that closes the image,
            // at the same time.
            outcome = try duringAWriteOut(of: rig)
        } else {
            outcome = bringOut(rig.pages.will, whileHeld: { lock.lock() }, until: { lock.unlock() })
        }
        #expect(outcome.broughtOut == 512 && outcome.passedOver == 0)
        #expect((0..<512 as Range<UInt64>).allSatisfy { rig.image.holds(5, $0) })
        try rig.end()
    }

    private func duringAWriteOut(of rig: ObservedRig) throws -> LastWill.Outcome {
        let gate = Gate()
        rig.image.hold(100, at: gate)
        let pager = rig.pager
        let flusher = Companion { try? pager.flush() }
        Thread.wait { gate.arrivals == 1 }
        let second = Companion { try? pager.flush() }
        second.waitUntilAsleep()
        let will = rig.pages.will
        let outcome = Guarded(LastWill.Outcome())
        let heir = Companion {
            let result = will.bringOut()
            outcome.withLock { $0 = result }
        }
        // It reaches the page that is held, past the flush that leads the write-out.
        Thread.wait { gate.arrivals == 2 }
        gate.open()
        heir.join()
        flusher.join()
        second.join()
        return outcome.withLock { $0 }
    }

    /// Executes the will while another thread holds what `lock` takes.
    private func bringOut(
        _ will: LastWill, whileHeld lock: @escaping @Sendable () -> Void,
        until unlock: @escaping @Sendable () -> Void
    ) -> LastWill.Outcome {
        let gate = Gate()
        let holder = Companion {
            lock()
            gate.pass()
            unlock()
        }
        Thread.wait { gate.arrivals == 1 }
        defer {
            gate.open()
            holder.join()
        }
        return will.bringOut()
    }

    /// A page that a writer has, with older writes in it, goes out as it is if the writer does not give it back.
    @Test func aPageThatAWriterKeeps() throws {
        let rig = try ObservedRig()
        try rig.dirty([3], 6)
        var progress = PageMapper.RequestProgress()
        let loan = try rig.provider.mapper.lendForWriting(3 << 12..<4 << 12, of: nil, &progress)
        #expect(rig.pages.will.bringOut().broughtOut == 1)
        #expect(rig.image.holds(6, 3))
        _ = consume loan
        try rig.end()
    }

    /// A page that a writer has and nobody ever had before is left out: its bytes may be another image's.
    @Test func aFreshPage() throws {
        let rig = try ObservedRig()
        try rig.dirty([3], 6)
        var progress = PageMapper.RequestProgress()
        let loan = try rig.provider.mapper.lendForWriting(4 << 12..<5 << 12, of: nil, &progress)
        #expect(rig.isDirty(4))
        #expect(rig.pages.will.bringOut().broughtOut == 1)
        #expect(rig.image.written == [3])
        _ = consume loan
        #expect(rig.pages.will.bringOut().broughtOut == 2, "now the page has been written")
        try rig.end()
    }

    /// A page without room costs no other page of its run, and is counted with its error.
    @Test func aPageThatFails() throws {
        let rig = try ObservedRig()
        try rig.dirty(16..<80, 5)
        rig.image.fail(20, 33, with: ENOSPC)
        let outcome = rig.pages.will.bringOut()
        #expect(outcome.broughtOut == 62 && outcome.failed == 2)
        #expect(outcome.error == AccessError(ENOSPC))
        #expect((16..<80 as Range<UInt64>).allSatisfy { rig.image.holds(5, $0) == ![20, 33].contains($0) })
        rig.image.heal()
        try rig.end()
    }

    /// However many pages in a row have no room, those behind them go out.
    @Test func pagesBehindManyThatFail() throws {
        let rig = try ObservedRig()
        try rig.dirty(0..<64, 5)
        for page in 0..<32 as Range<UInt64> { rig.image.fail(page, with: ENOSPC) }
        let outcome = rig.pages.will.bringOut()
        #expect(outcome.broughtOut == 32 && outcome.failed == 32)
        #expect((32..<64 as Range<UInt64>).allSatisfy { rig.image.holds(5, $0) })
        rig.image.heal()
        try rig.end()
    }

    /// If the record of a flexpage contradicts the leaf, nothing is written, and it is counted.
    @Test func aBrokenRecord() throws {
        let rig = try ObservedRig()
        try rig.dirty([3, 40, 41], 5)
        let map = rig.pages.accessMap(ofImage: rig.provider.image)
        let flexpage = rig.pages.table[map.flexpage(at: 40)]
        let key = flexpage.pointee.key
        flexpage.pointee.key = PageKey(image: key.image, page: 1000)
        let outcome = rig.pages.will.bringOut()
        #expect(outcome.broughtOut == 2 && outcome.broken == 1)
        #expect(Set(rig.image.written) == [3, 41])
        let leaf = map.leaf(of: 3)!
        let id = leaf.pointee.flexpages[3]
        leaf.pointee.flexpages[3] = 0xFFFF_FF00
        #expect(rig.pages.will.bringOut().broken == 2, "a number that no flexpage has")
        leaf.pointee.flexpages[3] = id
        flexpage.pointee.key = key
        try rig.end()
    }

    /// A chain of leaves that bites its own tail ends nevertheless.
    @Test func aBrokenChain() throws {
        let rig = try ObservedRig()
        try rig.dirty([3], 5)
        let leaf = rig.pages.accessMap(ofImage: rig.provider.image).leaf(of: 3)!
        let next = leaf.pointee.next
        leaf.pointee.next = rig.pages.leaves.id(of: leaf)
        #expect(rig.pages.will.bringOut().broughtOut >= 1)
        leaf.pointee.next = next
        try rig.end()
    }

    /// Several images are written out and synced, each to its own file.
    @Test func severalImages() throws {
        let rig = try ObservedRig()
        let other = ObservedImage(size: 16 << 20)
        let provider = try rig.registry.open(ImageIdentity(device: 77, inode: 78)) { other }
        let pager = Pager(provider)
        let scratch = TestBuffer(64 << 12)
        let buffer = scratch.buffer(64 << 12)
        memset(buffer.baseAddress!, 8, buffer.count)
        try pager.write(from: UnsafeRawBufferPointer(buffer), at: 0, forced: false)
        try rig.dirty([3, 700], 5)
        #expect(rig.pages.will.bringOut().broughtOut == 66)
        #expect(Set(rig.image.written) == [3, 700] && rig.image.holds(5, 700))
        #expect(Set(other.written) == Set(0..<64) && other.holds(8, 63))
        #expect(rig.image.syncs == 1 && other.syncs == 1)
        try rig.registry.close(provider)
        #expect(rig.pages.will.bringOut().broughtOut == 2, "a closed image is not in the will any more")
        try rig.end()
    }

    /// A closed image is not in the will any more, and closing waits for a will that is under way.
    @Test func aClosedImage() throws {
        let rig = try ObservedRig()
        let will = rig.pages.will
        try rig.dirty([1])
        let gate = Gate()
        rig.image.hold(1, at: gate)
        let heir = Companion { _ = will.bringOut() }
        Thread.wait { gate.arrivals == 1 }
        let provider = rig.provider
        let closer = Companion { will.withdraw(provider) }
        closer.waitUntilPolling()
        #expect(!closer.hasEnded)
        gate.open()
        heir.join()
        closer.join()
        #expect(will.bringOut().broughtOut == 0)
        will.enlist(provider)
        try rig.end()
    }

    /// The number of a closed image may belong to another one by the time it is withdrawn: that one stays.
    @Test func aNumberThatIsUsedAgain() throws {
        let rig = try ObservedRig()
        let will = rig.pages.will
        let late = Provider(
            identity: ImageIdentity(device: 5, inode: 5), image: rig.provider.image, pages: rig.pages,
            accessor: ObservedImage(size: 1 << 20))
        will.enlist(rig.provider)
        will.withdraw(late)
        try rig.dirty([3])
        #expect(will.bringOut().broughtOut == 1)
        try rig.end()
    }

    /// Once the Memory is gone it does nothing, and touches nothing.
    @Test func afterTheEnd() throws {
        let will: LastWill
        do {
            let pages = try Pages(memory: Pages.minMemory)
            will = pages.will
        }
        #expect(will.bringOut().broughtOut == 0)
    }

    /// Nothing is allocated: the thread that has faulted may be in malloc.
    @Test(.enabled(if: allocations_are_counted() != 0, "a sanitizer has its own malloc"), .ifOptimised)
    func nothingIsAllocated() throws {
        let rig = try PagingRig(image: NullImage(size: 16 << 20))
        // As many as may be dirty with nobody to write them out.
        let count = min(200, rig.pages.dirtyLimit.limit / 2)
        for index in 0..<count { try rig.write(1, count: 4096, at: Int64(index) * 3 << 12) }
        let before = allocations_of_this_thread()
        let outcome = rig.pages.will.bringOut()
        #expect(allocations_of_this_thread() - before == 0)
        #expect(outcome.broughtOut == count)
    }
}
