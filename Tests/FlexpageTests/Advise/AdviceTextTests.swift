import FoundationEssentials
import Testing

@testable import flexpage

/// The table and the sentence of `flexpage advise`.
@Suite struct AdviceTextTests {
    private func curve(
        _ misses: [UInt64], of name: String? = nil, reads: UInt64 = 100_000, samples: UInt64 = 3125
    ) -> AdviceFigures.Curve {
        AdviceFigures.Curve(
            name: name, reads: reads, misses: misses[2], samples: samples,
            points: misses.enumerated().map { index, misses in
                AdviceFigures.Point(memoryBytes: (16 << 20) << UInt64(index), misses: misses)
            })
    }

    private func figures(
        _ all: AdviceFigures.Curve, _ images: [AdviceFigures.Curve] = [], dropped: UInt64 = 0
    ) -> AdviceFigures {
        AdviceFigures(memoryBytes: 64 << 20, droppedSamples: dropped, all: all, images: images)
    }

    private func sentence(_ misses: [UInt64], samples: UInt64 = 3125, dropped: UInt64 = 0) -> String {
        AdviceText(figures: figures(curve(misses, samples: samples), dropped: dropped)).sentence
    }

    /// The sentence says what to do with each shape of curve.
    @Test func sentences() {
        #expect(
            sentence([60_000, 50_000, 40_000, 28_000, 12_000, 11_900])
                == "128M would save 30 % of the reads of images, and 256M would save 70 %; above that hardly anything "
                + "is gained.")
        #expect(
            sentence([60_000, 50_000, 40_000, 20_000, 20_000, 20_000])
                == "128M would save 50 % of the reads of images; above that hardly anything is gained.")
        #expect(
            sentence([60_000, 50_000, 40_000, 32_000, 20_000, 8000])
                == "128M would save 20 % of the reads of images, and 512M would save 80 %.")
        #expect(
            sentence([60_000, 60_000, 60_000, 59_500, 59_000, 6000])
                == "512M would save 90 % of the reads of images.")
    }

    /// If more memory is worth nothing, less may do.
    @Test func nothingToGain() {
        #expect(
            sentence([60_000, 50_000, 40_000, 39_500, 39_000, 39_000])
                == "More memory would save hardly anything, and less would cost reads: 64M is right.")
        #expect(
            sentence([60_000, 40_500, 40_000, 40_000, 40_000, 40_000])
                == "More memory would save hardly anything; 32M would do as well.")
        #expect(
            sentence([40_000, 40_000, 40_000, 40_000, 40_000, 40_000])
                == "More memory would save hardly anything; 16M would do as well.")
        #expect(
            sentence([90_000, 40_000, 60, 30, 0, 0])
                == "More memory would save hardly anything, and less would cost reads: 64M is right.",
            "a miss in a thousand reads is not worth twice the memory")
        #expect(
            sentence([0, 0, 0, 0, 0, 0]) == "More memory would save hardly anything; 16M would do as well.")
    }

    /// With too few samples there is no advice, and the table has no ratios that mean nothing.
    @Test func tooFew() {
        #expect(
            sentence([9, 9, 9, 1, 1, 1], samples: 499)
                == "Too few accesses yet: 499 of the 500 samples that advice needs.")
        let text = AdviceText(figures: figures(curve([0, 0, 0, 0, 0, 0], reads: 0, samples: 0))).text
        #expect(text.contains("\n(all)            0    -    -        -     -     -     -\n"), "\(text)")
        #expect(text.contains("Too few accesses yet: 0 of the 500 samples"))
    }

    /// Dropped samples are told if there are many.
    @Test func droppedSamples() {
        let misses = [40_000, 40_000, 40_000, 40_000, 40_000, 40_000] as [UInt64]
        #expect(!sentence(misses, dropped: 312).contains("too fast"))
        #expect(sentence(misses, dropped: 313).hasSuffix("(313 samples), so this is rough."))
    }

    /// The table has a row for all and one for each export, whose names cannot change the terminal.
    @Test func table() {
        let text = AdviceText(
            figures: figures(
                curve([90_000, 50_000, 40_000, 39_950, 39_000, 0]),
                [
                    curve([500, 400, 300, 200, 100, 0], of: "a\u{1b}[2J", reads: 1000),
                    curve([1, 1, 1, 1, 1, 1], of: "b", samples: 3),
                ]
            )
        ).text
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        #expect(lines[0].hasPrefix("export") && lines[0].contains("4 KiB read") && lines[0].contains("64M now"))
        #expect(
            lines[1].split(separator: " ", omittingEmptySubsequences: true).joined(separator: " ")
                == "(all) 100000 10.0 % 50.0 % 60.0 % 60.1 % 61.0 % 100.0 %")
        #expect(!text.unicodeScalars.contains("\u{1b}"))
        #expect(lines[2].contains("50.0 %") && lines[3].hasPrefix("b") && lines[3].hasSuffix("-"))
        #expect(lines[4].isEmpty && lines.count == 6)
    }

    /// What a server answers is understood, and what is encoded is the same.
    @Test func json() throws {
        let expected = figures(
            curve([6, 5, 4, 3, 2, 1]), [curve([6, 5, 4, 3, 2, 1], of: "a")], dropped: 7)
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        let line = try encoder.encode(expected)
        #expect(String(decoding: line, as: UTF8.self).contains("\"dropped_samples\":7"))
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        #expect(try decoder.decode(AdviceFigures.self, from: line) == expected)
    }
}
