import Testing

@testable import flexpage

/// How an attachment follows the server: when it connects again, what it refuses, and how it ends.
@Suite struct AttachmentTests {
    private let attached = "/dev/nbd0: attached: URI, 1048576 bytes"
    private let attaches = "kernel attaches 1048576 bytes, connections: 1"
    private let gone = "/dev/nbd0: a connection has ended; requests wait up to 60 s for the server"
    private let end = ["kernel detaches, after a write-out", "/dev/nbd0: detached"]

    @Test func aSignalDetaches() {
        let world = ScriptedWorld(.export(.usual()), happenings: [(5, .stop)])
        #expect(world.run() == nil)
        #expect(world.log == [attaches, attached] + end)
    }

    @Test func theServerIsBackAtOnce() {
        let world = ScriptedWorld(.export(.usual()), happenings: [(5000, .linkDead), (9000, .stop)])
        #expect(world.run() == nil)
        #expect(
            world.log == [
                attaches, attached, gone, "kernel replaces connections: 1, at 5100 ms",
                "/dev/nbd0: attached again after 0.1 s",
            ] + end)
    }

    /// The pauses double up to a second.
    @Test func theServerIsBackLater() {
        let away = ScriptedWorld.Answer.refused("Connection refused")
        let world = ScriptedWorld(
            .export(.usual()), away, away, away, away, away, away, .export(.usual()),
            happenings: [(0, .linkDead), (20_000, .stop)])
        #expect(world.run() == nil)
        // 100 + 200 + 400 + 800 + 1000 + 1000 + 1000.
        #expect(world.log.contains("kernel replaces connections: 1, at 4500 ms"))
        #expect(world.log.contains("/dev/nbd0: attached again after 4.5 s"))
        #expect(world.log.suffix(2) == end)
    }

    /// The kernel reports each connection just before it marks it dead. The pause begins anew with each report.
    @Test func severalConnectionsDie() {
        let world = ScriptedWorld(
            .export(.usual()), happenings: [(0, .linkDead), (90, .linkDead), (90, .linkDead), (5000, .stop)])
        #expect(world.run(connections: 4) == nil)
        #expect(world.log.filter { $0.hasPrefix("kernel replaces") } == ["kernel replaces connections: 4, at 280 ms"])
    }

    @Test func itDiesAgainAndAgain() {
        let world = ScriptedWorld(
            .export(.usual()), happenings: (0..<20).map { _ in (1500, AttachEvent.linkDead) } + [(1500, .stop)])
        #expect(world.run() == nil)
        #expect(world.log.filter { $0.hasPrefix("kernel replaces") }.count == 20)
        #expect(world.log.suffix(2) == end)
    }

    @Test(arguments: [
        (Export.usual(size: 1 << 19), "the export has 524288 bytes now, not 1048576"),
        (.usual(size: 1 << 21), "the export has 2097152 bytes now, not 1048576"),
        (.usual(flags: [.hasFlags, .readOnly, .flush, .forceUnitAccess, .trim]), "the export is read-only now"),
        (.usual(flags: [.hasFlags, .flush, .forceUnitAccess]), "the export does not allow trim any more"),
        (.usual(flags: [.hasFlags, .forceUnitAccess, .trim]), "the export does not allow flush any more"),
        (.usual(minBlock: 4096), "the export takes no request smaller than 4096 bytes now"),
        (.usual(maxRequest: 65536), "the export takes no request larger than 65536 bytes now"),
    ])
    func anotherExportIsRefused(_ other: Export, problem: String) {
        let world = ScriptedWorld(
            .export(.usual()), .export(other), .export(other), .export(.usual()),
            happenings: [(0, .linkDead), (9000, .stop)])
        #expect(world.run() == nil)
        // Said once, and the right one is attached when it is back.
        #expect(
            world.log == [
                attaches, attached, gone,
                "/dev/nbd0: \(problem); not attached to it. Waiting for the export that was attached",
                "kernel replaces connections: 1, at 700 ms", "/dev/nbd0: attached again after 0.7 s",
            ] + end)
    }

    /// A newer server may allow more.
    @Test func anExportThatAllowsMoreIsTheSame() {
        let less = Export.usual(flags: [.hasFlags, .flush], minBlock: 512, maxRequest: 1 << 20)
        let world = ScriptedWorld(.export(less), .export(.usual()), happenings: [(0, .linkDead), (900, .stop)])
        #expect(world.run() == nil)
        #expect(world.log.contains("kernel replaces connections: 1, at 100 ms"))
    }

    /// Whether several connections are allowed matters only to one who has them.
    @Test(arguments: [(1, true), (2, false)]) func severalConnectionsAreNotAllowedAnyMore(_ count: Int, goesOn: Bool) {
        let less = Export.usual(flags: [.hasFlags, .flush, .forceUnitAccess, .trim])
        let world = ScriptedWorld(.export(.usual()), .export(less), happenings: [(0, .linkDead), (900, .stop)])
        #expect(world.run(connections: count) == nil)
        #expect(world.log.contains { $0.hasPrefix("kernel replaces") } == goesOn)
    }

    @Test func theWaitIsOver() {
        let world = ScriptedWorld(.export(.usual()), .refused("URI: Connection refused"), happenings: [(0, .linkDead)])
        #expect(
            world.run(wait: 3)
                == "/dev/nbd0: the server did not come back within 3 s (URI: Connection refused); the kernel fails all "
                + "requests from here on. Attach it again with the same URI when the server is back, or run: flexpage "
                + "detach /dev/nbd0")
        // It must not detach what may be mounted.
        #expect(!world.log.contains { $0.contains("detaches") })
        #expect(world.clock == 3000)
    }

    /// One of several connections has ended, and the kernel goes on with the others.
    @Test func theWaitIsOverForOneOfSeveral() {
        let world = ScriptedWorld(.export(.usual()), .refused("URI: Connection refused"), happenings: [(0, .linkDead)])
        let complaint = world.run(wait: 3, connections: 4)
        #expect(complaint?.contains("the kernel fails all requests when no connection is left. Attach it") == true)
    }

    /// An attempt gets no more time than is left.
    @Test func aServerThatHangsEndsWithTheWaitToo() {
        let world = ScriptedWorld(.export(.usual()), .refused("URI: the server does not answer"))
        world.happenings = [(0, .linkDead)]
        world.connectTime = 10_000
        #expect(world.run(wait: 12)?.contains("did not come back within 12 s") == true)
        #expect(world.clock - 10_000 == 12_000)
    }

    @Test func withoutAWaitItEndsAtOnce() {
        let world = ScriptedWorld(.export(.usual()), happenings: [(0, .linkDead)])
        #expect(world.run(wait: 0)?.contains("did not come back within 0 s") == true)
        #expect(world.clock == 0)
    }

    @Test func aSignalDuringTheWait() {
        let world = ScriptedWorld(
            .export(.usual()), .refused("no"), happenings: [(0, .linkDead), (2500, .stop)])
        #expect(world.run() == nil)
        // A write-out would wait for the server.
        #expect(world.log == [attaches, attached, gone, "kernel detaches", "/dev/nbd0: detached"])
    }

    @Test func aSignalDuringAnAttempt() {
        let world = ScriptedWorld(.export(.usual()), .stopped, happenings: [(0, .linkDead)])
        #expect(world.run() == nil)
        #expect(world.log == [attaches, attached, gone, "kernel detaches", "/dev/nbd0: detached"])
    }

    @Test(arguments: [true, false]) func aDeviceInUseStaysAttached(isConnected: Bool) {
        let world = ScriptedWorld(.export(.usual()), .refused("no"), happenings: [(1, .stop)])
        if !isConnected { world.happenings.insert((1, .linkDead), at: 0) }
        world.isInUse = true
        #expect(
            world.run()
                == "/dev/nbd0 is mounted on /mnt. It stays attached, "
                + "but nobody reconnects it. Run the same command again "
                + "to go on, or free the device, and run: flexpage detach /dev/nbd0")
        #expect(world.isAttached)
    }

    @Test(arguments: [true, false]) func anotherProgramDetaches(isConnected: Bool) {
        let world = ScriptedWorld(.export(.usual()), .refused("no"))
        if !isConnected { world.happenings = [(0, .linkDead)] }
        world.detachedAt = 5000
        #expect(world.run() == nil)
        #expect(world.log.last == "/dev/nbd0: detached by another program")
        #expect(world.clock < 7000)
    }

    @Test func itGoesOnWithWhatAnEarlierRunHasLeft() {
        let world = ScriptedWorld(.export(.usual()), happenings: [(1, .stop)])
        world.way = .continued
        #expect(world.run() == nil)
        #expect(world.log[1] == "/dev/nbd0: was attached before; goes on: URI, 1048576 bytes")
    }

    @Test func noServer() {
        let world = ScriptedWorld(.refused("URI: connect: Connection refused"))
        #expect(world.run() == "URI: connect: Connection refused")
        #expect(world.log.isEmpty)
    }

    @Test(arguments: [
        (Export.usual(size: 0), 1, "the export has 0 bytes; a block device has at least one block of 512 bytes"),
        (.usual(size: 511), 1, "the export has 511 bytes; a block device has at least one block of 512 bytes"),
        (
            .usual(size: 4095, minBlock: 4096), 1,
            "the export has 4095 bytes; a block device has at least one block of 4096 bytes"
        ),
        (
            .usual(minBlock: 65536), 1,
            "the export takes no request smaller than 65536 bytes, "
                + "and the kernel's client needs blocks of at most 4096; "
                + "serve it with nbdkit's blocksize filter"
        ),
        (
            .usual(flags: [.hasFlags]), 2,
            "the server does not allow several connections to this export; leave out --connections"
        ),
        (.usual(size: 1 << 63), 1, "the export has 9223372036854775808 bytes, more than a block device can have"),
    ])
    func whatTheKernelCannotHave(_ export: Export, connections: Int, problem: String) {
        let world = ScriptedWorld(.export(export))
        #expect(world.run(connections: connections) == problem)
        #expect(world.log.isEmpty)
    }

    @Test func aTailThatIsNoBlockIsTold() {
        let world = ScriptedWorld(.export(.usual(size: 1537)), happenings: [(1, .stop)])
        #expect(world.run() == nil)
        #expect(world.log[1] == "/dev/nbd0: attached: URI, 1537 bytes (the last 1 are no block)")
        #expect(Export.usual(size: 1537).deviceSize == 1536)
    }
}
