-- All day tables and archived files of a relation as one. The first branch is an empty SELECT of the template's columns,
-- so that the view exists before the first row; an archived file of an older release has NULL in columns it did not know.
CREATE OR REPLACE VIEW {name} AS
SELECT {columns} FROM (
{branches}
);
