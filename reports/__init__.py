"""Results that can be read without torch: records, tables, figures and one HTML page."""
