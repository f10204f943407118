import TestSupport

extension Scenario {
    /// All scenarios.
    public static let all: [Scenario] = [
        writes, bare, zeroes, syncs, failures, memory, tight, splits, limit, images, reads, lastWill, deaths, takeOver,
        takeOvers, hammer, sweeps, pair, sizes, sizesKept,
    ]

    static let writes = Scenario(name: "writes", purpose: "all requests, on few pages, with a Writeback") { random in
        var plan = Plan(frames: random.pick(16...40), dirtyShare: [0.1, 0.4, 0.9][random.pick(0...2)])
        plan.dirtyAge = [1, 10, 5000][random.pick(0...2)]
        plan.isWriteThrough = random.once(in: 6)
        plan.images[0] = Plan.Image(sectors: 128, zeroes: .random(&random))
        plan.crew = 2
        plan.clients = Mix(pages: 16, longest: 40, populates: 1, extents: 1, checks: 1).clients(3, 6, &random)
        return plan
    }

    static let bare = Scenario(name: "bare", purpose: "all requests, on few pages, with nobody else") { random in
        var plan = Plan(frames: 48, dirtyShare: 0.9)
        plan.images[0].zeroes = .random(&random)
        plan.clients = Mix(pages: 5, longest: 24).clients(random.pick(2...4), 6, &random)
        return plan
    }

    static let zeroes = Scenario(name: "zeroes", purpose: "zeroes and trims among writers and readers") { random in
        var plan = Plan(frames: random.pick(14...24), dirtyShare: 0.9)
        plan.images[0].sectors = 96
        plan.images[0].faults.canTrim = !random.once(in: 6)
        if random.once(in: 3) { plan.images[0].faults.zeroFailsOnceIn = 3 }
        plan.images[0].faults.maxDelay = random.once(in: 2) ? 100 : 0
        guard random.once(in: 2) else {
            plan.clients =
                Mix(pages: 12, longest: 24, reads: 7, writes: 3, zeroes: 3, trims: 3, flushes: 1, forcedOnceIn: 1)
                .clients(3, 5, &random)
            return plan
        }
        // Few pages, none of them resident yet: each read is a fill, and most fills meet a zero.
        plan.images[0].faults.maxDelay = 100
        let pages = random.pick(1...3)
        let changes = Mix(pages: pages, longest: 8, reads: 1, writes: 1, zeroes: 3, trims: 3, flushes: 0)
        let reads = Mix(pages: pages, longest: 8, writes: 0, zeroes: 0, trims: 0, flushes: 0)
        plan.clients = changes.clients(1, 2, &random) + reads.clients(2, 2, &random)
        return plan
    }

    static let syncs = Scenario(name: "syncs", purpose: "flushes and forced writes while syncs fail") { random in
        var plan = Plan(frames: 40, dirtyShare: 0.9)
        plan.images[0].faults.syncFailsOnceIn = [0, 3, 6][random.pick(0...2)]
        plan.images[0].faults.maxDelay = random.once(in: 2) ? 100 : 0
        plan.clients =
            Mix(pages: 3, longest: 8, reads: 1, writes: 6, zeroes: 1, trims: 0, flushes: 5, forcedOnceIn: 3)
            .clients(random.pick(2...4), 5, &random)
        return plan
    }

    static let failures = Scenario(name: "failures", purpose: "an image that fails, and takes its time") { random in
        var plan = Plan(frames: 32, dirtyShare: 0.6, dirtyAge: 10)
        plan.images[0].faults = WriteFaults(
            readFailsOnceIn: [0, 6][random.pick(0...1)], writeFailsOnceIn: [0, 2, 6][random.pick(0...2)],
            syncFailsOnceIn: [0, 5][random.pick(0...1)], zeroFailsOnceIn: 4, maxDelay: [0, 1000][random.pick(0...1)])
        plan.crew = random.once(in: 2) ? 2 : 0
        plan.clients = Mix(pages: 6, longest: 32).clients(3, 5, &random)
        return plan
    }

    static let memory = Scenario(
        name: "memory", purpose: "so little memory that requests wait for it", factor: 10
    ) { random in
        var plan = Plan(frames: 8, dirtyShare: 0.3)
        plan.images[0] = Plan.Image(sectors: 8 * 12)
        plan.isWriteThrough = true
        // A loan of all that is resident leaves no frame for other requests.
        let all = Request(kind: .read, sectors: 0..<64)
        plan.preparation = [Request(kind: .populate, sectors: 0..<64)]
        plan.clients = [[all] + (random.once(in: 4) ? [all] : [])]
        // Mostly one client, because the end of any request wakes all threads that wait.
        for _ in 0..<(random.once(in: 4) ? 2 : 1) {
            let first = random.pick(8...11) * 8
            plan.clients.append([Request(kind: random.once(in: 3) ? .write : .read, sectors: first..<first + 8)])
        }
        return plan
    }

    static let tight = Scenario(name: "tight", purpose: "more pages than memory: recycling against moving") { random in
        var plan = Plan(frames: random.pick(16...32), dirtyShare: 0.4, dirtyAge: 1)
        plan.images[0] = Plan.Image(sectors: 8 * 64)
        plan.crew = random.pick(0...2) == 0 ? 0 : 2
        let mix = Mix(
            pages: 64, longest: 80, reads: 9, writes: plan.crew > 0 ? 3 : 0, zeroes: plan.crew > 0 ? 1 : 0, trims: 0,
            flushes: 1,
            populates: 2)
        plan.clients = mix.clients(3, 7, &random)
        return plan
    }

    static let splits = Scenario(name: "splits", purpose: "large flexpages written to in parts, and recycled") {
        random in
        var plan = Plan(frames: random.pick(32...48), dirtyShare: 0.5, dirtyAge: 1)
        plan.images[0] = Plan.Image(sectors: 8 * 64)
        guard random.once(in: 2) else {
            plan.crew = 2
            let mix = Mix(pages: 64, longest: 64, reads: 4, writes: 1, zeroes: 1, trims: 1, flushes: 1, populates: 3)
            let small = Mix(pages: 64, longest: 4, reads: 1, writes: 6, zeroes: 0, trims: 0, flushes: 1)
            plan.clients = mix.clients(2, 7, &random) + small.clients(2, 7, &random)
            return plan
        }
        // Memory is full, and the flexpage to be recycled next is the one to be split.
        plan.frames = 16
        plan.preparation = [Request(kind: .populate, sectors: 0..<8 * 16)]
        for _ in 0..<2 {
            let first = 8 * random.pick(0...3)
            plan.clients.append([Request(kind: .write, sectors: first..<first + random.pick(1...8))])
            let missing = 8 * random.pick(16...40)
            plan.clients.append([Request(kind: .read, sectors: missing..<missing + 8 * random.pick(1...3))])
        }
        return plan
    }

    static let limit = Scenario(name: "limit", purpose: "writers that wait until they may make more dirty") { random in
        var plan = Plan(frames: 32, dirtyShare: 0.07, dirtyAge: 5000)
        plan.images[0].sectors = 128
        plan.crew = random.once(in: 2) ? 2 : 0
        if random.once(in: 4) { plan.images[0].faults.writeFailsOnceIn = 3 }
        if plan.crew > 0 {
            plan.clients = Mix(pages: 16, longest: 24, reads: 1, zeroes: 1, trims: 1, flushes: 1).clients(4, 4, &random)
        } else {
            // Without a Writeback, each client makes room by itself, for the one page that it wants at a time.
            plan.isWriteThrough = true
            plan.clients = (0..<4).map { _ in
                (0..<5).map { _ in
                    let first = random.pick(0...15) * 8
                    return Request(kind: .write, sectors: first..<first + random.pick(1...8))
                }
            }
        }
        return plan
    }

    static let images = Scenario(name: "images", purpose: "several images in one memory, opened and closed") { random in
        var plan = Plan(frames: 32, dirtyShare: 0.4, dirtyAge: 10)
        plan.images = (0..<3).map { _ in Plan.Image(sectors: 128, zeroes: .random(&random)) }
        plan.crew = 2
        plan.clients =
            Mix(pages: 16, longest: 48, checks: 1, reopens: 2).clients(3, 6, &random, images: 3)
        return plan
    }

    static let reads = Scenario(name: "reads", purpose: "reads, read ahead, of an image that fails") { random in
        var plan = Plan(frames: random.pick(24...40))
        plan.images[0] = Plan.Image(sectors: 8 * 96, zeroes: .random(&random))
        if random.once(in: 2) { plan.images[0].faults.readFailsOnceIn = 4 }
        plan.images[0].faults.maxDelay = random.once(in: 2) ? 100 : 0
        plan.prefetchers = random.pick(0...2)
        plan.readahead = 1 << 20
        plan.clients = (0..<3).map { _ in
            var next = random.pick(0...40) * 8
            return (0..<7).map { _ in
                let count = random.length(upTo: 80)
                defer { next = random.once(in: 4) ? random.pick(0...80) * 8 : next + count }
                let first = min(next, 8 * 96 - count)
                return Request(kind: random.once(in: 5) ? .populate : .read, sectors: first..<first + count)
            }
        }
        return plan
    }

    static let lastWill = Scenario(name: "last-will", purpose: "the process dies in the midst of it") { random in
        var plan = Plan(frames: 40, dirtyShare: 0.9, dirtyAge: [1, 5000][random.pick(0...1)])
        plan.images = (0..<random.pick(1...2)).map { _ in Plan.Image(sectors: 64) }
        plan.crew = random.once(in: 2) ? 2 : 0
        plan.clients = Mix(pages: 6, longest: 24).clients(3, 6, &random, images: plan.images.count)
        plan.death = .lastWill(.step(random.pick(0...1200)))
        return plan
    }

    static let deaths = Scenario(
        name: "deaths", purpose: "the process dies at every step of a few requests", divisor: 200
    ) { random in
        var plan = Plan(frames: 24, dirtyShare: 0.9, dirtyAge: 1)
        plan.images[0].sectors = 32
        plan.crew = random.once(in: 2) ? 2 : 0
        plan.clients = Mix(pages: 4, longest: 16, forcedOnceIn: 3).clients(2, 2, &random)
        plan.death = .lastWill(.everyStep)
        return plan
    }

    static let takeOver = Scenario(
        name: "take-over", purpose: "the process dies in the midst of it, and the next one takes over"
    ) { random in
        var plan = Plan(frames: random.pick(12...40), dirtyShare: 0.9, dirtyAge: [1, 5000][random.pick(0...1)])
        plan.images = (0..<random.pick(1...2)).map { _ in
            Plan.Image(sectors: 8 * random.pick(4...24), zeroes: .random(&random))
        }
        plan.keeps = true
        plan.crew = random.once(in: 2) ? 2 : 0
        guard random.once(in: 2) else {
            // Few pages, so that most zeroes meet a page that a sync is about to make durable.
            for index in plan.images.indices { plan.images[index].faults.maxDelay = 100 }
            let mix = Mix(
                pages: 2, longest: 16, reads: 0, writes: 2, zeroes: 2, trims: 1, flushes: 3, forcedOnceIn: 2)
            plan.clients = mix.clients(4, 4, &random)
            plan.death = .takeOver(.step(random.pick(0...1500)))
            return plan
        }
        plan.clients = Mix(pages: 4, longest: 24).clients(3, 6, &random, images: plan.images.count)
        plan.death = .takeOver(.step(random.pick(0...3000)))
        return plan
    }

    static let takeOvers = Scenario(
        name: "take-overs", purpose: "the process dies at every step of a few requests, and the next one takes over",
        divisor: 200
    ) { random in
        var plan = Plan(frames: 16, dirtyShare: 0.9, dirtyAge: 1)
        plan.images[0].sectors = 8 * 8
        plan.keeps = true
        plan.crew = random.once(in: 2) ? 2 : 0
        plan.clients = Mix(pages: 4, longest: 16, forcedOnceIn: 3).clients(2, 3, &random)
        plan.death = .takeOver(.everyStep)
        return plan
    }

    static let sizes = Scenario(
        name: "sizes", purpose: "the memory becomes smaller and larger, among readers and writers", divisor: 2
    ) { random in
        var plan = Plan(frames: random.pick(20...40), dirtyShare: 0.4, dirtyAge: 1)
        plan.images[0] = Plan.Image(sectors: 8 * 48)
        plan.images[0].faults.maxDelay = random.once(in: 2) ? 100 : 0
        plan.crew = 2
        plan.framesOfBlock = 1 << random.pick(1...2)
        plan.clients = Mix(pages: 48, longest: 48, reads: 6, writes: 4, flushes: 1, populates: 2).clients(2, 6, &random)
        plan.clients.append(limits(random.pick(2...6), upTo: plan.frames / plan.framesOfBlock, &random))
        return plan
    }

    static let sizesKept = Scenario(
        name: "sizes-kept", purpose: "the process dies while its memory becomes smaller, and the next one takes over",
        divisor: 2
    ) { random in
        var plan = Plan(frames: random.pick(20...32), dirtyShare: 0.9, dirtyAge: [1, 5000][random.pick(0...1)])
        plan.images[0] = Plan.Image(sectors: 8 * 16)
        plan.keeps = true
        plan.crew = 2
        plan.framesOfBlock = 1 << random.pick(1...2)
        plan.clients = Mix(pages: 16, longest: 32, populates: 2).clients(2, 5, &random)
        plan.clients.append(limits(random.pick(2...5), upTo: plan.frames / plan.framesOfBlock, &random))
        plan.death = .takeOver(.step(random.pick(0...3000)))
        return plan
    }

    private static func limits(_ count: Int, upTo blocks: Int, _ random: inout SplitMix64) -> [Request] {
        (0..<count).map { _ in Request(kind: .limit, sectors: 0..<random.pick(0...blocks)) }
    }

    static let hammer = Scenario(name: "hammer", purpose: "nobody is kept waiting by those who never stop") { random in
        var plan = Plan(frames: 48, dirtyShare: 0.9)
        let page = Request(kind: .hammer, sectors: 0..<8)
        let victims: [Request.Kind] = [.write, .zero, .flush]
        let victim = Request(
            kind: victims[random.pick(0...1)], sectors: random.once(in: 2) ? 0..<8 : 0..<16,
            isForced: random.once(in: 2))
        plan.clients = [[page], [page], [page], [victim, victim]]
        return plan
    }

    static let sweeps = Scenario(name: "sweeps", purpose: "flushes of so much that a crew helps with them") { random in
        var plan = Plan(frames: 160, dirtyShare: 0.9)
        plan.images = (0..<2).map { _ in Plan.Image(sectors: 8 * 8 * 37) }
        plan.crew = 3
        if random.once(in: 2) { plan.images[0].faults.writeFailsOnceIn = 8 }
        plan.images[0].faults.maxDelay = random.once(in: 2) ? 100 : 0
        plan.clients = (0..<2).map { image in
            let writes = (0..<random.pick(34...37)).map { leaf in
                Request(kind: .write, image: image, sectors: leaf * 64..<leaf * 64 + 8)
            }
            return writes + [Request(kind: .flush, image: image), Request(kind: .flush, image: image)]
        }
        plan.clients.append([Request(kind: .flush), Request(kind: .flush, image: 1)])
        return plan
    }

    static let pair = Scenario(name: "pair", purpose: "two clients and few requests, for all orders of them") {
        random in
        var plan = Plan(frames: 16, dirtyShare: 0.9)
        plan.images[0].sectors = 16
        plan.clients = Mix(pages: 2, longest: 16, flushes: 3, forcedOnceIn: 2).clients(2, 2, &random)
        return plan
    }
}
