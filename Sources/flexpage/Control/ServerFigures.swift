/// What a server tells on its control socket. The man page of the plugin documents each name.
struct ServerFigures: Decodable, Equatable {
    struct Memory: Decodable, Equatable {
        let boundBytes, limitBytes, heldBytes, inUseBytes, peakBytes, pagesBytes, dirtyBytes, knownZeroBytes: UInt64
    }

    /// What is counted for each image as well as for all.
    struct Counters: Decodable, Equatable {
        let hits, misses, zeroHits, fills, recycles, writes, waits: UInt64
        let failedFills, failedWrites, failedSyncs, failedFlushes: UInt64
        let filledBytes, prefetchedBytes, prefetchedInVainBytes, writtenBytes: UInt64
        let dirtyBytes, allowedDirtyBytes: UInt64
    }

    struct All: Decodable, Equatable, LatencyFigures {
        let counters: Counters
        let moves, dirtyWaits, dirtyAgeMs: UInt64
        let fillLatency, writeOutLatency, syncLatency, flushLatency: Latency
    }

    /// How many calls took at most 1, 2, 4, … microseconds, and the last one longer.
    struct Latency: Decodable, Equatable {
        let count, sumUs: UInt64
        let atMostUs: [UInt64]
    }

    struct Image: Decodable, Equatable, LatencyFigures {
        let name: String
        let sizeBytes, heldBytes, reservedBytes, readaheadBytes, dirtyAgeMs: UInt64
        let isLosing, isInTrouble: Bool
        let counters: Counters
        let fillLatency, writeOutLatency, syncLatency, flushLatency: Latency
    }

    let version: String
    let pid: Int
    let memory: Memory
    let all: All
    let images: [Image]

    /// A name for each image, all different. Two images have one name if a file was replaced while a client had it
    /// open.
    var labels: [String] {
        var taken = Set(images.map(\.name))
        var seen: Set<String> = []
        return images.map { image in
            if seen.insert(image.name).inserted { return image.name }
            var number = 2
            while !taken.insert("\(image.name) (\(number))").inserted { number += 1 }
            return "\(image.name) (\(number))"
        }
    }
}
