import Paging

/// What a second tier of memory would hold: base pages that the pager has recycled, compressed. It holds the latest of
/// them that fit. The pages themselves are not stored, because a simulation needs only their sizes.
///
/// - A page that is recycled comes in (`keep`), unless it takes more than three quarters when it is compressed, or is
///   not admitted. A page that is read goes out again (`take`), so that no page is in both. So the page that came first
///   is the one that nobody has wanted for the longest time, and it goes first.
/// - Memory is given out in chunks of 128 bytes, of which 4 lead to the next one. A page takes as many as it needs,
///   wherever they are, and 32 bytes for what finds it: its number, its links, its size. So nothing is lost to
///   fragmentation, but for a half chunk a page, and all of it counts.
/// - A read of several pages takes from the tier what the tier has. The image is read for the others. Up to
///   `maxGap` pages between them are read with them though the tier has them, as the pager reads over pages that it
///   knows to be zeroes.
///
/// Thread rules: one thread.
final class CompressedTier: @unchecked Sendable {
    /// A base page of an image.
    struct Name: Hashable {
        let image: UInt16
        let page: UInt64
    }

    private struct Kept {
        /// How many pages came before it.
        let number: Int
        /// With what finds it.
        let bytes: Int
    }

    /// Bytes of a chunk, and of these the link to the next one.
    static let chunk = 128
    static let link = 4
    /// Bytes of what finds a page.
    static let entry = 32
    /// The maximum number of pages of the tier that one read of the image passes over.
    static let maxGap = 8

    /// The bound of all that it holds.
    let bytes: Int
    private(set) var bytesInUse = 0
    /// What it has done so far.
    private(set) var work = TierWork()

    private let content: ImageContent
    private let admission: TierAdmission
    private var pages: [Name: Kept] = [:]
    /// The pages in the order in which they came, from `first` on. Some have gone since, or have come again.
    private var order: [(name: Name, number: Int)] = []
    private var first = 0
    private var numbers = 0
    /// What the pager has.
    private var resident: Set<Name> = []

    init(bytes: Int, content: ImageContent, admission: TierAdmission = .all) {
        self.bytes = bytes
        self.content = content
        self.admission = admission
    }

    /// How many pages it has.
    var count: Int { pages.count }

    /// The bytes that a page takes whose content is compressed to `size` bytes.
    static func bytes(ofSize size: Int) -> Int {
        let payload = chunk - link
        return entry + (size + payload - 1) / payload * chunk
    }

    // MARK: What the pager recycles

    /// The pager has recycled these pages of an image.
    /// - Parameter areProven: They were in main.
    func keep(_ recycled: Range<UInt64>, ofImage image: UInt16, areProven: Bool = true) {
        for page in recycled {
            let name = Name(image: image, page: page)
            resident.remove(name)
            guard areProven || admission == .all else { continue }
            switch content.page(page) {
            case .zeroes: break
            case .dense: work.refused += 1
            case .compressed(let size):
                work.kept += 1
                insert(name, CompressedTier.bytes(ofSize: size))
            }
        }
    }

    private func insert(_ name: Name, _ bytes: Int) {
        remove(name)
        while bytesInUse + bytes > self.bytes {
            guard dropOldest() else { return }
        }
        pages[name] = Kept(number: numbers, bytes: bytes)
        order.append((name, numbers))
        numbers += 1
        bytesInUse += bytes
    }

    /// - Returns: False if there is none.
    private func dropOldest() -> Bool {
        while first < order.count {
            let oldest = order[first]
            first += 1
            // What has gone already leaves its place: half of all at most.
            if first > order.count / 2 {
                order.removeFirst(first)
                first = 0
            }
            if pages[oldest.name]?.number == oldest.number {
                remove(oldest.name)
                return true
            }
        }
        return false
    }

    @discardableResult
    private func remove(_ name: Name) -> Bool {
        guard let kept = pages.removeValue(forKey: name) else { return false }
        bytesInUse -= kept.bytes
        return true
    }

    // MARK: What the pager reads

    /// The pager reads these pages of an image.
    /// - Returns: The runs of pages for which the image has to be read, in ascending order.
    func take(_ wanted: Range<UInt64>, ofImage image: UInt16) -> [Range<UInt64>] {
        var runs: [Range<UInt64>] = []
        for page in wanted where isMissing(Name(image: image, page: page)) {
            if let last = runs.last, page - last.upperBound <= UInt64(CompressedTier.maxGap) {
                runs[runs.count - 1] = last.lowerBound..<page + 1
            } else {
                runs.append(page..<page + 1)
            }
        }
        var next = runs.startIndex
        for page in wanted {
            while next < runs.endIndex, runs[next].upperBound <= page { next += 1 }
            let isRead = next < runs.endIndex && runs[next].contains(page)
            let name = Name(image: image, page: page)
            if remove(name), !isRead { work.taken += 1 }
            // The pager keeps no zeroes.
            if content.page(page) != .zeroes { resident.insert(name) }
        }
        return runs
    }

    /// Neither the tier has it, nor the pager, which reads over some pages that it has.
    private func isMissing(_ name: Name) -> Bool { pages[name] == nil && !resident.contains(name) }

    /// A client is about to write `range`: what the tier has of pages that lie in it completely will be out of date.
    func forget(_ range: Range<Int64>, ofImage image: UInt16) {
        let size = Int64(BasePage.size)
        let (begin, end) = ((range.lowerBound + size - 1) / size, range.upperBound / size)
        guard begin < end else { return }
        for page in begin..<end { remove(Name(image: image, page: UInt64(page))) }
    }
}
