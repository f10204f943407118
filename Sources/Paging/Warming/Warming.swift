/// The list of what is to be warmed of one image, on its way. What it has of a chunk is read at once, however warm: the
/// disk takes longer for a second read than for some pages more. The chunk with the warmest page comes first, and
/// equally warm ones come by place.
///
/// It takes 8 bytes a run. Thread rules: under the PrefetchQueue's lock.
struct Warming {
    let provider: Unmanaged<Provider>
    /// In the order in which they are read.
    private let runs: [PackedRun]
    /// The run that is next.
    private var index = 0

    /// - Parameter runs: In any order, all of rank 0. O(n log n) for n of them.
    init(_ provider: Provider, _ runs: consuming [PackedRun]) {
        self.provider = Unmanaged.passUnretained(provider)
        Warming.sort(&runs)
        self.runs = runs
    }

    /// The rank of each run becomes the warmth of its chunk.
    private static func sort(_ runs: inout [PackedRun]) {
        runs.sort()
        var begin = 0
        while begin < runs.count {
            let end = endOfChunk(at: begin, of: runs)
            let warmest = runs[begin..<end].reduce(0) { max($0, $1.warmth) }
            for index in begin..<end {
                runs[index] = PackedRun(runs[index].pages, warmth: runs[index].warmth, rank: warmest)
            }
            begin = end
        }
        runs.sort()
    }

    /// The index after the last run in a row that is in the same chunk as the run at `index`.
    private static func endOfChunk(at index: Int, of runs: [PackedRun]) -> Int {
        let chunk = Chunk.around(runs[index].pages.lowerBound)
        return runs[index...].firstIndex { !chunk.contains($0.pages.lowerBound) } ?? runs.count
    }

    var isAtEnd: Bool { index == runs.count }

    /// Takes the next chunk off the list. O(1): at most a chunk's runs.
    /// - Returns: One of its pages, and all of them.
    mutating func nextChunk() -> (page: UInt64, pages: WarmPages) {
        assert(!isAtEnd, "there is a chunk")
        let chunk = runs[index..<Warming.endOfChunk(at: index, of: runs)]
        index = chunk.endIndex
        var pages = WarmPages()
        for run in chunk { pages.insert(run.pages, warmth: run.warmth) }
        return (chunk.first!.pages.lowerBound, pages)
    }
}
