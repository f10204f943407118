// A warm file with any bytes: it is refused, or it is a list that means the same when it is written again, and whose
// runs lie in their images. The first byte says whether the rest is a whole file or only its body. With a body of the
// fuzzer's, the header is right, checksum and all: otherwise hardly any input would come past it.

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ data: UnsafePointer<UInt8>, _ count: Int) -> Int32 {
    let input = Array(UnsafeBufferPointer(start: data, count: count))
    let bytes = input.first ?? 0 == 0 ? Array(input.dropFirst()) : file(body: input.dropFirst())
    guard let list = try? WarmList(bytes) else { return 0 }
    guard let again = try? WarmList(list.bytes) else { fatalError("what is written can be read") }
    precondition(again == list, "what is written means the same")
    precondition(Set(list.entries.map(\.name)).count == list.entries.count, "each name is there once")
    for entry in list.entries { check(entry) }
    return 0
}

private func check(_ entry: WarmList.Entry) {
    var last: ResidentRun?
    for run in entry.runs {
        precondition(!run.pages.isEmpty, "a run has pages")
        precondition(Int64(run.pages.upperBound - 1) * Int64(BasePage.size) < entry.size, "a run lies in its image")
        if let last {
            let isNext = last.warmth == run.warmth && last.pages.upperBound <= run.pages.lowerBound
            precondition(last.warmth > run.warmth || isNext, "the warmest come first, and then the lowest")
        }
        last = run
    }
    let same = WarmList.Entry(name: entry.name, size: entry.size, runs: entry.runs)
    precondition(Array(same.runs) == Array(entry.runs), "runs that are packed again are the same")
}

private func file(body: ArraySlice<UInt8>) -> [UInt8] {
    let begin = Array("FLEXWARM".utf8) + [1, 0, 0, 0]
    let end = (0..<8).map { UInt8(truncatingIfNeeded: body.count >> (8 * $0)) } + body
    var sum = UInt32.max
    for byte in begin + end {
        sum ^= UInt32(byte)
        for _ in 0..<8 { sum = sum & 1 == 0 ? sum >> 1 : (sum >> 1) ^ 0x82F6_3B78 }
    }
    return begin + (0..<4).map { UInt8(truncatingIfNeeded: ~sum >> (8 * UInt32($0))) } + end
}

// What the sources need of the rest of the pager.
enum PageQueue { enum Name { case none, probation, main } }
enum Pages { static let maxImageSize: Int64 = PageKey.maxImageSize }
