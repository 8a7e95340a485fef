-- How many blocks a node refuses is learned again within a few questions after a start.
DROP TABLE range_ceilings;
