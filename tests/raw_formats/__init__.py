"""Independent writers of the original datasets' formats: what a reader must understand, made from known joints.

Each module writes one format and has

    NAME     the reader's name in the configuration
    write(root, seed, images) -> dict[str, np.ndarray]
             makes a small tree of files and returns, for each original split, the joints (N, K, 2) in pixels that a reader
             must yield, in the order in which it must yield them, NaN where nothing is annotated
    options(root, **others)
             the options of the reader for such a tree, nothing held out
"""
