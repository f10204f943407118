/// The repository that the tests are in.
package enum Repository {
    package static let path = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3)
        .joined(separator: "/")

    /// The text of one of its files.
    package static func text(_ name: String) throws -> String { try Files.text("\(path)/\(name)") }
}
