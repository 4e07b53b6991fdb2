"""Tables and statements of the lineage index, for SQLite."""

SCHEMA_VERSION = 2
CONTENT = ("version", "node", "edge", "reverse_edge")

TABLES = """
CREATE TABLE content (id INTEGER PRIMARY KEY, digest TEXT UNIQUE);
CREATE TABLE version (
    name TEXT, version TEXT, content INTEGER, created_at_ms INTEGER, PRIMARY KEY (name, version)) WITHOUT ROWID;
CREATE INDEX version_content ON version (content);
CREATE INDEX version_created ON version (created_at_ms);
CREATE TABLE node (
    content INTEGER PRIMARY KEY, signature TEXT, architecture TEXT, created_at TEXT, confirmed INTEGER);
CREATE INDEX node_signature ON node (signature) WHERE signature <> '';
CREATE INDEX node_claimed ON node (content) WHERE confirmed = 0;
CREATE TABLE edge (
    child INTEGER, parent INTEGER, origin TEXT, relation TEXT, confidence REAL,
    PRIMARY KEY (child, parent, origin)) WITHOUT ROWID;
CREATE TABLE reverse_edge (parent INTEGER, child INTEGER, PRIMARY KEY (parent, child)) WITHOUT ROWID;
"""
ADD_CONTENT = "INSERT OR IGNORE INTO content (digest) VALUES (?)"
ADD_VERSION = "INSERT OR REPLACE INTO version VALUES (?, ?, (SELECT id FROM content WHERE digest = ?), ?)"
# one content may come with several manifests: the smaller value wins, whichever comes first, as in `nodes.joined`
ADD_NODE = """
INSERT INTO node VALUES ((SELECT id FROM content WHERE digest = ?), ?, ?, ?, ?) ON CONFLICT (content) DO UPDATE SET
    signature = ifnull(min(nullif(signature, ''), nullif(excluded.signature, '')), signature || excluded.signature),
    architecture = ifnull(
        min(nullif(architecture, ''), nullif(excluded.architecture, '')), architecture || excluded.architecture),
    created_at = ifnull(
        min(nullif(created_at, ''), nullif(excluded.created_at, '')), created_at || excluded.created_at),
    confirmed = max(confirmed, excluded.confirmed)
"""
ADD_EDGE = """
INSERT INTO edge VALUES (
    (SELECT id FROM content WHERE digest = ?), (SELECT id FROM content WHERE digest = ?), ?, ?, ?)
ON CONFLICT (child, parent, origin) DO UPDATE SET
    relation = excluded.relation, confidence = excluded.confidence
    WHERE (excluded.confidence, excluded.relation) > (confidence, relation)
"""
ADD_REVERSE = """
INSERT OR IGNORE INTO reverse_edge VALUES (
    (SELECT id FROM content WHERE digest = ?), (SELECT id FROM content WHERE digest = ?))
"""
# what tags alone told of a content, before its manifest is added
RETRACT = (
    """DELETE FROM reverse_edge WHERE (parent, child) IN (
        SELECT parent, child FROM edge JOIN node ON content = child WHERE confirmed = 0 AND child = :id)""",
    "DELETE FROM edge WHERE child = (SELECT content FROM node WHERE content = :id AND confirmed = 0)",
    "UPDATE node SET signature = '', architecture = '' WHERE content = :id AND confirmed = 0",
)
# UNION, not UNION ALL: every vertex once, so that a circle in the records ends too
WALK = """
WITH RECURSIVE reached (id) AS (
    SELECT {near} FROM {table} WHERE {here} = :start
    UNION SELECT {near} FROM reached JOIN {table} ON {table}.{here} = reached.id)
SELECT digest FROM reached JOIN content USING (id) WHERE id <> :start
"""
ANCESTORS = WALK.format(table="edge", here="child", near="parent")
DESCENDANTS = WALK.format(table="reverse_edge", here="parent", near="child")
# a content that was forgotten may have left its number behind
KNOWN = """
SELECT 1 FROM node WHERE content = :start UNION ALL SELECT 1 FROM edge WHERE child = :start
UNION ALL SELECT 1 FROM reverse_edge WHERE parent = :start LIMIT 1
"""
# every row with digests in place of numbers, in the order of its key
TOLD = {
    "version": "SELECT name, version, digest, created_at_ms FROM version LEFT JOIN content ON id = content "
    "ORDER BY name, version",
    "node": "SELECT digest, signature, architecture, created_at, confirmed FROM node JOIN content ON id = content "
    "ORDER BY digest",
    "edge": "SELECT c.digest, p.digest, origin, relation, confidence FROM edge "
    "JOIN content AS c ON c.id = child JOIN content AS p ON p.id = parent ORDER BY c.digest, p.digest, origin",
    "reverse_edge": "SELECT p.digest, c.digest FROM reverse_edge "
    "JOIN content AS c ON c.id = child JOIN content AS p ON p.id = parent ORDER BY p.digest, c.digest",
}
