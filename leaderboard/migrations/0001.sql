-- Submissions, their runs, and a log of all that was ever done to them.

CREATE TABLE submissions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL,
    submitter TEXT NOT NULL,
    name TEXT NOT NULL,
    card TEXT NOT NULL CHECK (json_valid(card)),
    parameters TEXT NOT NULL CHECK (json_valid(parameters)),
    cheats INTEGER NOT NULL CHECK (cheats IN (0, 1)),
    status TEXT NOT NULL CHECK (status IN ('received', 'checked', 'reproduced', 'withdrawn'))
) STRICT;

-- What runs need to have in common to be ranked together.
CREATE TABLE tracks (
    id TEXT PRIMARY KEY,
    challenge TEXT NOT NULL,
    models TEXT NOT NULL,
    preset TEXT NOT NULL,
    settings TEXT NOT NULL CHECK (json_valid(settings)),
    changed INTEGER NOT NULL DEFAULT 1,
    ranked INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    submission INTEGER NOT NULL REFERENCES submissions (id),
    track TEXT NOT NULL REFERENCES tracks (id),
    seed INTEGER NOT NULL,
    digest TEXT NOT NULL,
    numbers TEXT NOT NULL,
    seconds REAL NOT NULL,
    questions INTEGER NOT NULL,
    scores TEXT NOT NULL CHECK (json_valid(scores)),
    content BLOB NOT NULL,
    UNIQUE (submission, track, seed)
) STRICT;
CREATE INDEX runs_by_digest ON runs (digest);
CREATE INDEX runs_by_numbers ON runs (numbers);
CREATE INDEX runs_by_track ON runs (track);

-- One row of the board: a submission in a track. Ranks follow when the track is ranked anew.
CREATE TABLE standings (
    track TEXT NOT NULL REFERENCES tracks (id),
    submission INTEGER NOT NULL REFERENCES submissions (id),
    seeds INTEGER NOT NULL,
    skill REAL,
    low REAL,
    high REAL,
    rank INTEGER,
    best_rank INTEGER,
    worst_rank INTEGER,
    upstream REAL NOT NULL,
    gain REAL,
    persistence REAL,
    lock_in REAL,
    seconds REAL NOT NULL,
    questions REAL NOT NULL,
    each TEXT NOT NULL CHECK (json_valid(each)),
    resampled BLOB NOT NULL,
    PRIMARY KEY (track, submission)
) STRICT;
CREATE INDEX standings_by_skill ON standings (track, skill DESC);

CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL,
    who TEXT NOT NULL,
    submission INTEGER REFERENCES submissions (id),
    what TEXT NOT NULL,
    reason TEXT NOT NULL
) STRICT;
CREATE TRIGGER events_are_never_changed BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'the log is only ever appended to'); END;
CREATE TRIGGER events_are_never_deleted BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'the log is only ever appended to'); END;

CREATE TABLE tokens (
    sha256 TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    at TEXT NOT NULL,
    revoked TEXT
) STRICT, WITHOUT ROWID;
