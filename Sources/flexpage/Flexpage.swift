import ArgumentParser

@main struct Flexpage: ParsableCommand {}
