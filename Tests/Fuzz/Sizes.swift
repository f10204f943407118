// Sizes as people type them: what is understood is printed as the same number, and nothing traps.

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ data: UnsafePointer<UInt8>, _ count: Int) -> Int32 {
    let text = String(decoding: UnsafeBufferPointer(start: data, count: count), as: UTF8.self)
    guard let bytes = ByteCount.parse(text) else { return 0 }
    precondition(bytes >= 0, "a size is not negative")
    precondition(ByteCount.parse(ByteCount.text(bytes)) == bytes, "what is shown means the same size")
    precondition(!ByteCount.roughly(bytes).isEmpty, "every size can be shown")
    return 0
}
