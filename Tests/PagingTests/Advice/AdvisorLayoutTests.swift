import Testing

@testable import Paging

/// Advice takes a hundredth of the memory, and no more.
@Suite struct AdvisorLayoutTests {
    /// What is set aside is inside `memory=`, and what all tables take is inside that (the Advisor checks it).
    @Test(arguments: [8, 16, 31, 64, 100, 256, 1000]) func itFits(mebibytes: Int) throws {
        let memory = mebibytes << 20
        let advice = Pages.adviceBytes(memory: memory)
        #expect(advice > 0 && advice * 100 <= memory)
        let with = try Pages(memory: memory, advice: advice)
        let without = try Pages(memory: memory)
        #expect(with.givesAdvice && !without.givesAdvice)
        #expect(with.frames < without.frames && Double(with.frames) > Double(without.frames) * 0.988)
        #expect(with.counters.bytesInUse <= UInt64(memory))
        #expect(with.advisor!.layout.frames == with.frames)
    }

    /// With little memory there is no advice, and nothing is taken for it.
    @Test func littleMemory() throws {
        let least = Pages.minMemoryForAdvice
        #expect(least <= 8 << 20)
        #expect(Pages.adviceBytes(memory: least) > 0)
        #expect(Pages.adviceBytes(memory: least - 1 << 20) == 0)
        #expect(Pages.adviceBytes(memory: Pages.minMemory) == 0)
        let pages = try Pages(memory: Pages.minMemory)
        #expect(pages.advice() == nil && pages.digestSamples() == 0 && pages.droppedSamples == 0)
    }

    /// One page in 32 is sampled at most, and of a large memory fewer, but one of each chunk.
    @Test func largeMemoryIsSampledLess() {
        let budget = AdvisorLayout.budget
        #expect(AdvisorLayout(frames: 1 << 16, images: 1024, bytes: budget(1 << 28))?.groupShift == 5)
        #expect(AdvisorLayout(frames: 1 << 24, images: 1024, bytes: budget(1 << 36))?.groupShift == 8)
        #expect(AdvisorLayout(frames: 1 << 19, images: 1024, bytes: budget(1 << 31))?.groupShift == 7)
        #expect(AdvisorLayout(frames: 1 << 31, images: 1024, bytes: budget(1 << 43))?.groupShift == 8)
    }
}
