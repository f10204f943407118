/// The list of what is to be warmed of one image, on its way.
///
/// Thread rules: under the PrefetchQueue's lock.
struct Warming {
    let provider: Unmanaged<Provider>
    private let runs: [ResidentRun]
    /// The run that is next, and how many of its pages have been given out.
    private var index = 0
    private var done: UInt64 = 0

    /// What one thread reads at a time: pages of one chunk, equally warm.
    struct Part {
        var pages = PageSet()
        /// One of them.
        let page: UInt64
        let warmth: UInt8
    }

    /// - Parameter runs: In the order in which they are read. Those that lie near each other are read together if they
    ///   are equally warm and follow one another.
    init(_ provider: Provider, _ runs: [ResidentRun]) {
        self.provider = Unmanaged.passUnretained(provider)
        self.runs = runs
    }

    var isAtEnd: Bool { index == runs.count }

    /// Takes the next part off the list. O(1): at most a chunk's pages.
    mutating func nextPart() -> Part {
        assert(!isAtEnd, "there is a part")
        let first = runs[index].pages.lowerBound + done
        var part = Part(page: first, warmth: runs[index].warmth)
        let chunk = Chunk.around(first)
        while !isAtEnd, runs[index].warmth == part.warmth {
            let left = runs[index].pages.lowerBound + done..<runs[index].pages.upperBound
            guard chunk.contains(left.lowerBound) else { break }
            let end = min(left.upperBound, chunk.upperBound)
            part.pages.formUnion(PageSet(left.lowerBound..<end))
            done += end - left.lowerBound
            if end < left.upperBound { break }
            (index, done) = (index + 1, 0)
        }
        return part
    }
}
