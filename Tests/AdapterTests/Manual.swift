import Foundation
import TestSupport

@testable import Adapter

/// What the man page of the plugin or of the filter says: the options in SYNOPSIS and PARAMETERS, and the counters and
/// the lines of --dump-plugin in DEBUGGING.
struct Manual {
    /// One `=item` of PARAMETERS, and the text up to the next one.
    struct Item {
        /// As one types it: "[file=]PATH", "direct=auto".
        var term: String
        var text: String

        var key: String { String(term.prefix { $0 != "=" }.drop { $0 == "[" }) }
        var value: String { String(term.drop { $0 != "=" }.dropFirst().drop { $0 == "]" }) }
    }

    let text: String
    /// The word of SYNOPSIS that comes before the options.
    private let last: String

    init(of role: Role = .plugin) throws {
        text = try Repository.text("Plugin/nbdkit-flexpage-\(role).pod")
        last = role == .plugin ? "flexpage" : "[...]"
    }

    /// The words of SYNOPSIS that are options. Brackets around a word mark it as optional. A bar stands between
    /// alternatives.
    var synopsis: [String] {
        section("SYNOPSIS").split { $0 == " " || $0 == "\n" }.drop { $0 != last }.dropFirst().filter { $0 != "|" }
            .map { word in
                word.first == "[" && word.last == "]" ? String(word.dropFirst().dropLast()) : String(word)
            }
    }

    var items: [Item] {
        section("PARAMETERS").components(separatedBy: "\n=item ").dropFirst().map { entry in
            let (head, rest) = (entry.prefix { $0 != "\n" }, entry.drop { $0 != "\n" })
            let term = String(head).replacing("B<", with: "").replacing(">", with: "")
            return Item(term: term, text: rest.split(separator: "\n").joined(separator: " "))
        }
    }

    /// The names that DEBUGGING's list of counters has.
    var counters: [String] {
        let lists = section("DEBUGGING").components(separatedBy: "\n=head2 ").filter { $0.hasPrefix("Counters\n") }
        return lists.joined().matches(of: #/\n=item C<([a-z_]+)>\n/#).map { String($0.1) }
    }

    /// The keys that DEBUGGING's list of --dump-plugin has.
    var dumpKeys: [String] {
        let lists = section("DEBUGGING").components(separatedBy: "\n=head2 ").filter {
            $0.hasPrefix("Information for scripts\n")
        }
        return lists.joined().matches(of: #/\n=item C<([a-z_]+)=/#).map { String($0.1) }
    }

    private func section(_ name: String) -> String {
        let sections = text.components(separatedBy: "\n=head1 ").filter { $0.hasPrefix("\(name)\n") }
        return sections.map { String($0.dropFirst(name.count)) }.joined()
    }
}
