"""Reports: what the store holds, as a document that is written as PDF, HTML, XLSX, CSV or JSON. Reads only."""
